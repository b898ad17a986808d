"""Errors say what is wrong, where, and what to do about it."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


class TrafficgymError(Exception):
    """Base of every error that trafficgym raises on purpose."""


class SceneError(TrafficgymError, ValueError):
    """A scene, or the file it was read from, cannot be used."""


class StoreError(TrafficgymError, ValueError):
    """A scene store is missing, damaged, or of another version."""


class ConfigError(TrafficgymError, ValueError):
    """An option is unknown or has a value that makes no sense."""


class ActionError(TrafficgymError, ValueError):
    """An action has the wrong shape, is not finite, or names no living agent."""


def nearest_key(key: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known key closest to `key`, else the known keys."""
    known = sorted(known)
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def names_nearest(cls: type[T]) -> type[T]:
    """Decorate a configuration, above ``@dataclass``: an unknown keyword is a ConfigError with the nearest field."""
    init: Any = cls.__init__

    @functools.wraps(init)
    def checked(self: T, *args: Any, **options: Any) -> None:
        known = [f.name for f in fields(cls) if f.init]  # type: ignore[arg-type]
        for key in options:
            if key not in known:
                raise ConfigError(f"{cls.__name__} has no option {key!r}; {nearest_key(key, known)}")
        init(self, *args, **options)

    cls.__init__ = checked  # type: ignore[method-assign, assignment]
    return cls


def check_whole(config: object, **least: int) -> None:
    """Raise ConfigError unless each named option is None or a whole number, no smaller than given."""
    for name, smallest in least.items():
        value = getattr(config, name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < smallest):
            raise ConfigError(f"{name} is {value!r}; it must be a whole number, {smallest} or more")
