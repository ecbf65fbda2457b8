"""The version of the package and of those that it stands on; needs nothing but Python."""

from collections.abc import Sequence

__version__ = "0.1.0"


def package_versions(packages: Sequence[str]) -> dict[str, str]:
    """Name the versions of Python and of some packages, as far as they are installed."""
    import platform  # the command line reads this module before anything else
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
