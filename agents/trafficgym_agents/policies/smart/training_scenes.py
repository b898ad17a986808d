"""Scenes to train on, tokenised when they are first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.scene.scene import Scene
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.config import SmartConfig
from trafficgym_agents.policies.smart.noise import NO_NOISE, TokenNoise
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.tokens import SceneTokens
from trafficgym_agents.policies.smart.vocabulary import Vocabulary

LEEWAY = 20.0
"""m that an agent may stray from its log and still see all of the map there."""


class TrainingScenes:
    """Batches of tokenised scenes; a scene always has the same tokens, noise and agents that carry loss.

    Maps are cut to what agents can see from their logs, and a little more.

    Args:
        scenes: The scenes.
        vocabulary: Their words.
        config: Of the network, for how far it sees.
        seed: Draws noise and who carries loss; scene i by [seed, i], whatever comes before it.
        noise: On tokens.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        vocabulary: Vocabulary,
        config: SmartConfig,
        *,
        seed: int = 0,
        noise: TokenNoise = NO_NOISE,
    ) -> None:
        self.scenes, self.seed, self.noise = scenes, seed, noise
        self._tokenizer = Tokenizer(vocabulary, frame="source" if config.zero_fill_quirk else "scene")
        self._reach = config.map_to_agent_radius + config.map_layers * config.map_radius + LEEWAY
        self._known: dict[int, SceneTokens] = {}

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, number: int) -> SceneTokens:
        if number not in self._known:
            rng = np.random.default_rng([self.seed, number])
            tokens = self._tokenizer(self.scenes[number], train=True, rng=rng, noise=self.noise)
            self._known[number] = tokens.with_map_near(self._reach)
        return self._known[number]

    def batch(self, numbers: NDArray[Any] | Sequence[int]) -> Batch:
        """Some scenes side by side."""
        return Batch.of([self[int(number)] for number in numbers])
