"""A fingerprint of everything that a scene holds."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from trafficgym.scene.scene import Scene


def digest(scene: Scene) -> str:
    """SHA-256 of all fields."""
    state = hashlib.sha256()
    _feed(state, scene)
    return state.hexdigest()


def _feed(state: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        state.update(str((value.dtype, value.shape)).encode() + np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value):
        for f in fields(value):
            state.update(f.name.encode())
            _feed(state, getattr(value, f.name))
    elif isinstance(value, dict):
        for key, item in value.items():
            state.update(repr(key).encode())
            _feed(state, item)
    elif isinstance(value, tuple | list):
        for item in value:
            _feed(state, item)
    else:
        state.update(repr(value).encode())
