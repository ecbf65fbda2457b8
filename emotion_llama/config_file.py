"""YAML file and overrides of the command line -> settings.

Knows: dotted names, where an override goes, how a fault is told. Does not know: any setting.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Settings = TypeVar("Settings", bound=BaseModel)


def load_settings(
    kind: type[Settings], path: Path | None, overrides: Sequence[str] = ()
) -> Settings:
    """Read settings.

    Args:
        kind: which settings
        path: YAML file; ``None``: there are the overrides only
        overrides: ``name=value``, the value in YAML; parts of a name are joined by dots, places of
            a list are numbers from 0: ``sources.0.path=clips.csv``

    Raises:
        ValueError: no YAML, no such place, an unknown name or a wrong value
    """
    values = {} if path is None else _read(path)
    for override in overrides:
        _put(values, override)
    try:
        return kind(**values)
    except (TypeError, ValidationError) as error:
        msg = f"{path or 'settings'}: {_fault(kind, error)}"
        raise ValueError(msg) from error


def _read(path: Path) -> dict[str, Any]:
    """Read names and values out of a file."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path}: found no file that can be read ({error.strerror}); check the name"
        raise ValueError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path}: found no YAML ({' '.join(str(error).split())})"
        raise ValueError(msg) from error
    if not isinstance(values, dict):
        msg = f"{path}: found {type(values).__name__}, expected names and values"
        raise ValueError(msg)
    return values


def _put(values: dict[str, Any], override: str) -> None:
    """Put one override in its place."""
    name, equals, text = override.partition("=")
    if not equals or not name:
        msg = f"found {override!r}, expected name=value such as learning_rate=1e-4"
        raise ValueError(msg)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"{name}: found {text!r}, expected a value in the form of YAML"
        raise ValueError(msg) from error
    parts = name.strip().split(".")
    last = parts[-1]
    place: Any = values
    for part, following in zip(parts[:-1], parts[1:], strict=True):
        place = _inside(place, part, name, [] if following.isdigit() else {})
    if isinstance(place, list):
        place[_index(place, last, name)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise ValueError(_no_place(name, last))


def _inside(place: Any, part: str, name: str, new: Any) -> Any:
    """Give what a part of a name leads to; what is not there yet is made as ``new``."""
    if isinstance(place, list):
        return place[_index(place, part, name)]
    if isinstance(place, dict):
        return place.setdefault(part, new)
    raise ValueError(_no_place(name, part))


def _index(items: list[Any], part: str, name: str) -> int:
    """Give a place of a list; the one behind the last is made."""
    if not part.isdigit() or int(part) > len(items):
        msg = f"{name}: found {part!r}, expected a number from 0 to {len(items)}"
        raise ValueError(msg)
    if int(part) == len(items):
        items.append({})
    return int(part)


def _no_place(name: str, part: str) -> str:
    return f"{name}: {part!r} is inside a single value; name a setting"


def _fault(kind: type[BaseModel], error: Exception) -> str:
    """Tell the first fault: where, what was found, what is known."""
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors()[0]
    name = ".".join(map(str, fault["loc"])) or "the whole"
    words = f"{name}: {fault['msg'].lower()}, found {fault['input']!r:.80}"
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        words += f"; known are {', '.join(sorted(kind.model_fields))}"
    return words
