"""Scenes as a live policy knows them: tokenised and encoded once, for all worlds that hold them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch

from trafficgym.scene.scene import Scene
from trafficgym.world.world import World
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.past import LiveDecoder
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.tokens import SceneTokens

MOST_SCENES = 128
"""Scenes that are kept, those used last, unless more are in use at once; with the maps of WOMD, a few MB each."""
MOST_DECODERS = 2


class Beginning(NamedTuple):
    """A scene, and the step at which an episode of it began: traffic lights stay for the network as they were then."""

    scene: Scene
    step: int

    @classmethod
    def of(cls, world: World, b: int) -> Beginning:
        """That of the present episode of world b."""
        return cls(world.scenes[b], int(world.start_step[b]))


class Stage(NamedTuple):
    """Scenes that are in use together."""

    decoder: LiveDecoder
    number: dict[Beginning, int]
    """Of each scene, in the decoder's map."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownScene:
    """What stays of a scene as long as the weights do."""

    tokens: SceneTokens
    map_features: Any  # float32 (M, h)


class KnownScenes:
    """Scenes that were used last, and decoders for those that are in use together.

    Args:
        network: It encodes the maps; where its weights change in place, everything is encoded anew.
        tokenizer: In the frame of the network.
        table_rows: See `SmartNetwork.forward`.
    """

    def __init__(self, network: SmartNetwork, tokenizer: Tokenizer, table_rows: int) -> None:
        self.network, self.tokenizer, self.table_rows = network, tokenizer, table_rows
        self._forget()

    def _forget(self) -> None:
        self._version = self._weights_version()
        self._scenes: WeakKeyDictionary[Scene, dict[int, KnownScene]] = WeakKeyDictionary()
        self._decoders: list[tuple[list[KnownScene], LiveDecoder]] = []

    def _weights_version(self) -> int:
        return sum(parameter._version for parameter in self.network.parameters())

    def __getstate__(self) -> dict[str, Any]:
        # Weak references cannot be copied; what they held is worked out again.
        return {name: value for name, value in vars(self).items() if name not in ("_scenes", "_decoders")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def __len__(self) -> int:
        return len(self._scenes)

    @property
    def device(self) -> Any:
        """Of the network."""
        return self.network.sizes.device

    def of(self, beginning: Beginning) -> KnownScene:
        """Tokens and map of a scene.

        Raises:
            SceneError: no vehicle, pedestrian or cyclist is there.
        """
        scene, step = beginning
        by_step = self._scenes.pop(scene, {})
        if step not in by_step:
            tokens = self.tokenizer(replace(scene, current_step=step))
            batch = Batch.of([tokens], device=str(self.device))
            features = self.network.encode_map(batch.map, self.table_rows)
            by_step[step] = KnownScene(tokens=tokens, map_features=features)
        self._scenes[scene] = by_step  # behind all others
        return by_step[step]

    def stage(self, beginnings: Iterable[Beginning]) -> Stage:
        """A decoder for agents of some scenes, which may repeat."""
        if self._version != self._weights_version():
            self._forget()
        unique = list(dict.fromkeys(beginnings))
        return Stage(
            self._decoder([self.of(beginning) for beginning in unique]), {one: i for i, one in enumerate(unique)}
        )

    def _decoder(self, scenes: list[KnownScene]) -> LiveDecoder:
        for _ in range(len(self._scenes) - max(MOST_SCENES, len(scenes))):
            del self._scenes[next(iter(self._scenes))]
        for known, decoder in self._decoders:
            if len(known) == len(scenes) and all(a is b for a, b in zip(known, scenes, strict=True)):
                return decoder
        batch = Batch.of([scene.tokens for scene in scenes], device=str(self.device))
        features = torch.cat([scene.map_features for scene in scenes])
        decoder = LiveDecoder(self.network, batch, features, self.table_rows)
        self._decoders = [(scenes, decoder), *self._decoders[: MOST_DECODERS - 1]]
        return decoder
