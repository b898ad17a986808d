"""The words of the model: half a second of motion, and five metres of map."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from trafficgym.errors import ConfigError
from trafficgym.scene.atomic import AtomicFile
from trafficgym.world.dynamics.motion_tokens import MotionTokens
from trafficgym_agents.training.packing import in_order

Float = NDArray[np.float32]

CLASSES = ("vehicle", "pedestrian", "cyclist")
"""Kinds of agents that have tokens, in the order of their codes 0, 1, 2."""
NOMINAL_SIZE = np.array([[4.8, 2.0], [1.0, 1.0], [2.0, 1.0]], np.float32)
"""Length and width [m] of the box that stands for each class in tokens, float32 ``[3, 2]``."""
FORMAT = "trafficgym-vocabulary-1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """Templates of motion and of map pieces, each in the frame of its first pose (METHODS.md A.2, A.3).

    Raises:
        ConfigError: an array has the wrong shape, or holds what is not finite.
    """

    vehicle: Float
    """float32 ``[V, 6, 4, 2]`` m: corners (left front, right front, right back, left back) of the nominal box at
    0, 0.1 ... 0.5 s, x forward and y to the left of the starting pose. Classes may differ in V."""
    pedestrian: Float
    cyclist: Float
    map_pieces: Float
    """float32 ``[M, 11, 2]`` m: points of 5 m of a polyline, every 0.5 m, x along its first segment."""
    note: Mapping[str, Any] = field(default_factory=dict)
    """How it was made: method, settings, seed, scenes; kept in the file, and no part of the hash."""

    def __post_init__(self) -> None:
        for name in CLASSES:
            _check(name, getattr(self, name), (6, 4, 2))
        _check("map_pieces", self.map_pieces, (11, 2))

    @property
    def agents(self) -> tuple[Float, Float, Float]:
        """The motions of the three classes, in the order of `CLASSES`."""
        return self.vehicle, self.pedestrian, self.cyclist

    def dynamics(self) -> MotionTokens:
        """Dynamics whose actions are these motions."""
        return MotionTokens(vehicle=self.vehicle, pedestrian=self.pedestrian, cyclist=self.cyclist)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """V of the three classes."""
        return len(self.vehicle), len(self.pedestrian), len(self.cyclist)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all templates, as hexadecimal digits."""
        digest = hashlib.sha256()
        for name in (*CLASSES, "map_pieces"):
            values = getattr(self, name)
            digest.update(f"{name}{values.shape}".encode())
            digest.update(np.ascontiguousarray(values, "<f4").tobytes())
        return digest.hexdigest()

    def save(self, path: Path | str) -> None:
        """Write a safetensors file, whole or not at all; the same vocabulary gives the same bytes.

        Raises:
            StoreError: the disk is full or refuses.
        """
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in (*CLASSES, "map_pieces")}
        about = {"format": FORMAT, "hash": self.hash, "note": json.dumps(dict(self.note), sort_keys=True)}
        file = AtomicFile(Path(path))
        try:
            file.write(in_order(save(arrays, about)))
            file.commit()
        finally:
            file.discard()

    @classmethod
    def load(cls, path: Path | str) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            ConfigError: there is no such file, it is no vocabulary, or it is damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise ConfigError(
                f"{path}: there is no vocabulary; make one with `python -m trafficgym_baselines.build_vocabulary`"
            )
        try:
            with safe_open(path, "np") as file:
                about = file.metadata() or {}
                if about.get("format") != FORMAT:
                    raise ConfigError(f"{path}: is no vocabulary of format {FORMAT!r}; it has {about.get('format')!r}")
                arrays = {name: file.get_tensor(name) for name in (*CLASSES, "map_pieces")}
            found = cls(**arrays, note=json.loads(about["note"]))
        except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
            raise ConfigError(f"{path}: is damaged, or no vocabulary ({error}); make it again") from None
        if found.hash != about["hash"]:
            raise ConfigError(f"{path}: is damaged: its templates have hash {found.hash}, it says {about['hash']}")
        return found


def _check(name: str, values: Float, shape: tuple[int, ...]) -> None:
    if values.dtype != np.float32 or values.ndim != len(shape) + 1 or values.shape[1:] != shape or not len(values):
        raise ConfigError(f"{name} must be float32 (tokens, {', '.join(map(str, shape))}), got {values.shape}")
    if not np.isfinite(values).all():
        raise ConfigError(f"{name} holds numbers that are not finite")
