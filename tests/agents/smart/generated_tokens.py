"""Generated scenes, tokenised with the small vocabulary, and networks for them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.agents.smart.small_vocabulary import small_vocabulary
from trafficgym_agents.policies.smart.config import SmartConfig
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.tokens import SceneTokens
from trafficgym_scenarios.nominal import nominal_scene

MICRO = SmartConfig(head_per_class=True, momentum=True)


def small_network(config: SmartConfig = MICRO, seed: int = 0, **changes: Any) -> SmartNetwork:
    """A network of random weights, biases too, whose logits spread over several units; in evaluation mode."""
    network = SmartNetwork(replace(config, **changes), small_vocabulary())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1:
                base = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.copy_(base + 0.2 * torch.randn(parameter.shape, generator=generator))
            else:
                spread = 0.05 if name.endswith(("freqs.weight", "steering.weight")) else parameter.shape[1] ** -0.5
                parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@cache
def scene_tokens(seed: int) -> SceneTokens:
    """Of a generated scene; everyone is there all the time."""
    return Tokenizer(small_vocabulary())(nominal_scene(seed))


def moved(tokens: SceneTokens, angle: float, shift: tuple[float, float]) -> SceneTokens:
    """The same tokens elsewhere: turned by `angle` rad about the origin, then shifted; slots not valid stay 0."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def placed(xy: NDArray[np.float32], there: Any = True) -> NDArray[np.float32]:
        return np.where(np.asarray(there)[..., None], xy.astype(np.float64) @ turn + shift, 0).astype(np.float32)

    def turned(yaw: NDArray[np.float32], there: Any = True) -> NDArray[np.float32]:
        wrapped = (yaw.astype(np.float64) + angle + np.pi) % (2 * np.pi) - np.pi
        return np.where(there, wrapped, 0).astype(np.float32)

    road, a = tokens.map, tokens.agents
    path = np.concatenate([placed(a.path[..., :2], a.path_valid), turned(a.path[..., 2], a.path_valid)[..., None]], -1)
    return replace(
        tokens,
        map=replace(road, points=placed(road.points), yaw=turned(road.yaw)),
        agents=replace(
            a,
            xy=placed(a.xy, a.valid),
            yaw=turned(a.yaw, a.valid),
            raw_xy=placed(a.raw_xy, a.raw_valid),
            raw_yaw=turned(a.raw_yaw, a.raw_valid),
            path=path,
        ),
    )


def in_general_position(tokens: SceneTokens, seed: int = 0) -> SceneTokens:
    """Everything a little elsewhere, up to 0.2 m and 0.1 rad.

    On the straight roads of generated scenes, pieces lie 10.0 m apart and run opposite ways: at the very edge of a
    radius, and where pi turns into -pi. Rounding would decide there.
    """
    rng, road, agents = np.random.default_rng(seed), tokens.map, tokens.agents
    yaw = (road.yaw + rng.uniform(-0.1, 0.1, road.yaw.shape)).astype(np.float32)
    points = (road.points + rng.uniform(-0.2, 0.2, (len(road), 1, 2))).astype(np.float32)
    there = agents.valid[..., None]
    xy = agents.xy + np.where(there, rng.uniform(-0.2, 0.2, agents.xy.shape), 0)
    headings = agents.yaw + np.where(agents.valid, rng.uniform(-0.1, 0.1, agents.yaw.shape), 0)
    return replace(
        tokens,
        map=replace(road, points=points, yaw=yaw),
        agents=replace(agents, xy=xy.astype(np.float32), yaw=headings.astype(np.float32)),
    )


def with_gaps(tokens: SceneTokens, share: float = 0.3, seed: int = 0) -> SceneTokens:
    """Some slots of some agents are not valid; everybody is there "now"."""
    agents = tokens.agents
    valid = np.random.default_rng(seed).random(agents.valid.shape) >= share
    valid[:, 1] = True
    return replace(
        tokens,
        agents=replace(agents, valid=valid, xy=np.where(valid[..., None], agents.xy, 0), yaw=agents.yaw * valid),
    )
