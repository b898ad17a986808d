"""From a scene to what the model reads."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.random import Generator

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym_agents.policies.smart.agent_tokens import agent_tokens
from trafficgym_agents.policies.smart.map_tokens import NOWHERE, map_tokens
from trafficgym_agents.policies.smart.matching import MotionEnds
from trafficgym_agents.policies.smart.noise import NO_NOISE, TokenNoise
from trafficgym_agents.policies.smart.polylines import Frame, Polylines, source_origin
from trafficgym_agents.policies.smart.preprocess import SIGHT, AgentLog
from trafficgym_agents.policies.smart.tokens import MapTokens, SceneTokens
from trafficgym_agents.policies.smart.vocabulary import Vocabulary


class Tokenizer:
    """Turns scenes into tokens of a vocabulary.

    ```python
    tokenizer = Tokenizer(Vocabulary.load("vocabulary.safetensors"))
    tokens = tokenizer(scene, train=True, rng=np.random.default_rng(seed))
    ```

    Args:
        vocabulary: The templates.
        frame: "scene", or "source" for the source's coordinates in float32, which networks with `zero_fill_quirk` read.

    Raises:
        ConfigError: there is no such frame.
    """

    def __init__(self, vocabulary: Vocabulary, *, frame: Frame = "scene") -> None:
        if frame not in get_args(Frame):
            raise ConfigError(f"frame is {frame!r}; it is one of {', '.join(get_args(Frame))}")
        self.vocabulary = vocabulary
        self.frame: Frame = frame
        self.ends = MotionEnds.of(vocabulary)

    def __call__(
        self, scene: Scene, *, train: bool = False, rng: Generator | None = None, noise: TokenNoise = NO_NOISE
    ) -> SceneTokens:
        """Tokenise a scene.

        Args:
            scene: Of any length; steps that it lacks between 1 s before its current step and 8 s behind are not valid.
            train: Leave out states far from the SDC and draw who carries loss. Otherwise everyone does, and there is
                no noise.
            rng: For training; what it draws decides everything that is random.
            noise: For training.

        Raises:
            SceneError: no vehicle, pedestrian or cyclist is there at the current step.
            ConfigError: no `rng` for training.
        """
        if train and rng is None:
            raise ConfigError("train=True draws who carries loss, and needs rng=numpy.random.default_rng(seed)")
        log = AgentLog.of(scene, self.frame)
        learns = np.ones(len(log), bool)
        if train and rng is not None:
            log = log.masked(log.near_sdc(SIGHT))
            learns = log.learners(rng)
        log = log.with_steady_yaw().from_token_start()
        agents = agent_tokens(log, self.ends, learns=learns, noise=noise, rng=rng if train else None)
        road = self.map_tokens(scene, nearest=noise.map_nearest if train else 1, rng=rng)
        return SceneTokens(scene_id=scene.id, map=road, agents=agents)

    def map_tokens(self, scene: Scene, *, nearest: int = 1, rng: Generator | None = None) -> MapTokens:
        """The map of a scene alone; see `trafficgym_agents.policies.smart.map_tokens.map_tokens`."""
        polylines = Polylines.of(scene, self.frame)
        x, y, _ = (source_origin(scene, self.frame) + NOWHERE).tolist()
        return map_tokens(polylines, self.vocabulary.map_pieces, nearest=nearest, rng=rng, nowhere=(x, y))
