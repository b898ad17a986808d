"""Which scenes a step takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym_agents.training.worker import Worker


@names_nearest
@dataclass(frozen=True, kw_only=True)
class SceneOrder:
    """Every epoch takes the scenes in a new order; a function of seed and step alone, so that nothing need be saved.

    All workers together take the same scenes in a step, however many they are. The scenes that do not fill the last
    batch of an epoch are left out of it; they are others in every epoch.

    Raises:
        ConfigError: there are fewer scenes than a batch takes, or the workers cannot share it evenly.
    """

    num_scenes: int
    batch: int
    """Scenes that a step takes, of all workers together."""
    seed: int = 0
    worker: Worker = field(default_factory=Worker)

    def __post_init__(self) -> None:
        check_whole(self, num_scenes=1, batch=1, seed=0)
        if self.batch % self.worker.count:
            raise ConfigError(f"a batch of {self.batch} scenes cannot be shared evenly by {self.worker.count} workers")
        if self.batch > self.num_scenes:
            raise ConfigError(f"a batch of {self.batch} scenes is more than there are: {self.num_scenes}")

    @property
    def steps_per_epoch(self) -> int:
        return self.num_scenes // self.batch

    def epoch(self, step: int) -> int:
        """The epoch, from 0, that a step belongs to."""
        return step // self.steps_per_epoch

    def scenes(self, step: int) -> NDArray[np.int64]:
        """Numbers of the scenes that this worker takes, int64 ``[batch / workers]``."""
        order = _permutation(self.num_scenes, self.seed, self.epoch(step))
        first = step % self.steps_per_epoch * self.batch
        return order[first : first + self.batch][self.worker.rank :: self.worker.count]


@lru_cache(maxsize=2)
def _permutation(num_scenes: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(num_scenes)
