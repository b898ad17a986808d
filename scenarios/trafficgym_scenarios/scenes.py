"""Endless sequences of generated scenes, made when they are asked for."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from trafficgym.errors import ConfigError, SceneError
from trafficgym.scene.scene import Scene

if TYPE_CHECKING:
    from trafficgym_scenarios.scenario import LogicalScenario, Split

KEPT = 1024
SIZE = 1_000_000


class LazyScenes(Sequence[Scene]):
    """Scene `i` is ``make(i)``; the last few are kept.

    Args:
        make: Makes scene number i, always the same.
        size: How many there are.
    """

    def __init__(self, make: Callable[[int], Scene], size: int = SIZE) -> None:
        if size < 1:
            raise ConfigError(f"size is {size}; it must be at least 1")
        self._make, self._size = make, size
        self._kept: OrderedDict[int, Scene] = OrderedDict()

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Scene: ...
    @overload
    def __getitem__(self, index: slice) -> list[Scene]: ...
    def __getitem__(self, index: int | slice) -> Scene | list[Scene]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._size))]
        if not isinstance(index, int | np.integer):
            raise SceneError(
                f"these scenes are made when asked for, and go by number, 0 to {self._size - 1}: {index!r}"
            )
        number = int(index) + (self._size if index < 0 else 0)
        if not 0 <= number < self._size:
            raise IndexError(f"there is no scene {index}; there are {self._size}")
        if number in self._kept:
            self._kept.move_to_end(number)
        else:
            self._kept[number] = self._make(number)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[number]


def family_scenes(
    families: Sequence[LogicalScenario], *, split: Split = "any", criticality: float | None = None, size: int = SIZE
) -> LazyScenes:
    """Scenes of concrete scenarios of some families, taking turns: scene i is of family ``i % len(families)``.

    Args:
        split: Which part of their ranges, and how aggressive the heroes are: see `LogicalScenario.sample`.
        criticality: See there.
    """
    if not families:
        raise ConfigError("there is no family to draw scenarios from")
    num = len(families)
    return LazyScenes(lambda i: families[i % num].sample(i // num, split, criticality=criticality).scene, size)


def mixture(long_tail: Sequence[Scene], nominal: Sequence[Scene], *, alpha: float = 0.5, seed: int = 0) -> LazyScenes:
    """Long-tail scenes with probability `alpha`, nominal ones otherwise (RTR; METHODS.md F.1: alpha is 0.5 there).

    In long-tail scenes the world drives the hero by its script and the learner all others, as equation 3 of RTR has it,
    with the environment's default ``control``.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha is {alpha}; it is a probability")

    def make(i: int) -> Scene:
        draw = np.random.default_rng([seed, zlib.crc32(b"mixture"), i])
        source = long_tail if draw.random() < alpha else nominal
        return source[int(draw.integers(len(source)))]

    return LazyScenes(make)
