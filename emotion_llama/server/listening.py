"""An address -> a socket that listens there, and the check that what serves is installed.

Knows: ports, names of packages. Does not know: what is served, to whom.
"""

import socket
from importlib.util import find_spec


def require_packages(*names: str) -> None:
    """Check that packages of the extra ``serve`` are installed, without loading them.

    Raises:
        ValueError: one is not
    """
    for name in names:
        if find_spec(name) is None:
            msg = (
                f"found no {name}, which the service needs; "
                "install it with: pip install 'emotion-llama[serve]'"
            )
            raise ValueError(msg)


def bound(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Take a port.

    Args:
        host: address or name of this machine
        port: 0: any free one
        reuse_port: share the port with other processes that do so

    Raises:
        ValueError: it is taken, or there is no such address here
    """
    try:
        family, kind, number, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, number)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(place)
    except (OSError, OverflowError, AttributeError) as error:
        msg = (
            f"cannot listen on port {port} of {host} ({error}); give another --port, or an "
            "address of this machine"
        )
        raise ValueError(msg) from error
    return taken
