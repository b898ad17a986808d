"""Options as plain values, for JSON and for comparison."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trafficgym.errors import ConfigError


def plain(value: Any, where: str = "") -> Any:
    """The same in dicts, lists, numbers and texts; dataclasses, paths, enumerations and NumPy scalars may be in it.

    Raises:
        ConfigError: something else is in it; the message says where.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name), _join(where, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item, _join(where, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, _join(where, i)) for i, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted(plain(item, where) for item in value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"{where}: a {type(value).__name__} cannot be written as JSON")


def differences(before: Any, now: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, old and new value of all that differs between plain values; what one lacks is ``...`` there."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            yield from differences(before.get(key, ...), now.get(key, ...), _join(where, key))
    elif before != now:
        yield where, before, now


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)
