"""What a reward keeps of the scenes that it has seen."""

from __future__ import annotations

import zlib
from collections import OrderedDict, deque
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from trafficgym.metrics.wosac import Realism
from trafficgym.rewards.reward import Float
from trafficgym.scene.scene import Scene
from trafficgym.world.history import History

Key = tuple[str, int]


class Record:
    """What is kept of one scene.

    Attributes:
        realism: Prepared for the scene; None until it is needed.
        rollouts: The last ones, float32 ``[N, T, 4]`` each.
    """

    def __init__(self, memory: int) -> None:
        self.realism: Realism | None = None
        self.rollouts: deque[Float] = deque(maxlen=memory)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "realism": None}  # it is large, and can be prepared again


class Shelf:
    """Records of scenes, the least recently used first.

    Attributes:
        records: By `key_of` the scene.
        given: The reward for the last decision in which episodes ended, ``[B, A]``, and the history's `num_recorded`
            then; asking twice about one decision must not remember its rollouts twice.
    """

    def __init__(self) -> None:
        self.records: OrderedDict[Key, Record] = OrderedDict()
        self.given: WeakKeyDictionary[History, tuple[int, Float]] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {"records": self.records}  # weak references cannot be copied

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.records, self.given = state["records"], WeakKeyDictionary()

    def record(self, scene: Scene, memory: int, max_scenes: int) -> Record:
        """The record of a scene, a new one if there is none; then those too many go.

        Args:
            scene: The scene.
            memory: Rollouts that a new record can hold.
            max_scenes: Records to keep.
        """
        key = key_of(scene)
        if key not in self.records:
            self.records[key] = Record(memory)
        self.records.move_to_end(key)
        while len(self.records) > max_scenes:
            self.records.popitem(last=False)
        return self.records[key]


def key_of(scene: Scene) -> Key:
    """The same for scenes of the same name and content; a store makes a new object at each access."""
    if scene not in _KEYS:
        checksum = 0
        for array in (scene.tracks.id, scene.tracks.x, scene.tracks.y, scene.tracks.valid, scene.road.xyz):
            checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
        _KEYS[scene] = scene.id, checksum
    return _KEYS[scene]


_KEYS: WeakKeyDictionary[Scene, Key] = WeakKeyDictionary()
"""Kept as long as the scene itself."""
