"""Noise on the tokens of training scenes: agents and maps that are a little beside the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, check_whole, names_nearest

Target = Literal["recovery", "executed"]


@names_nearest
@dataclass(frozen=True, kw_only=True)
class TokenNoise:
    """How tokens of training scenes are drawn (METHODS.md A.2, A.3); the default is no noise, CAT-K's best recipe.

    Raises:
        ConfigError: a value makes no sense.
    """

    nearest: int = 1
    """Motion tokens are drawn among so many that lead nearest to the log; Trajeglish and SMART take 5."""
    temperature: float = 1.0
    """m: a token's chance is as exp(-(mean corner distance) / temperature); very large is all alike."""
    target: Target = "recovery"
    """What is learnt: back to the log (Trajeglish's noisy tokenisation), or the token drawn (SMART's perturbation)."""
    map_nearest: int = 1
    """Map tokens are drawn, all alike, among so many templates that are nearest; SMART takes 8."""

    def __post_init__(self) -> None:
        check_whole(self, nearest=1, map_nearest=1)
        if not self.temperature > 0:
            raise ConfigError(f"temperature is {self.temperature!r}; it is a distance in metres, larger than 0")
        if self.target not in get_args(Target):
            raise ConfigError(f"target is {self.target!r}; it is one of {', '.join(get_args(Target))}")

    def draw(self, distance: NDArray[np.float32], rng: Generator) -> NDArray[np.int64]:
        """One of K tokens for each of N agents, by their mean corner distances ``[N, K]`` m; int64 ``[N]``."""
        # The largest of logits with Gumbel noise is a draw from their softmax.
        return (rng.gumbel(size=distance.shape) - distance / self.temperature).argmax(-1)


NO_NOISE = TokenNoise()
