"""Agents whose logs are drawn by hand, and small networks for generated scenes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from tests.agents.smart.small_vocabulary import small_vocabulary
from trafficgym_agents.policies.smart.batch import AgentBatch, Batch, MapBatch
from trafficgym_agents.policies.smart.config import NUM_TOKENS, STEPS_PER_TOKEN, SmartConfig
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.tokens import SceneTokens
from trafficgym_agents.policies.trajectory.config import TrajectoryConfig
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork
from trafficgym_scenarios.families import find_family

STEPS = STEPS_PER_TOKEN * NUM_TOKENS + 1
SMALL = SmartConfig(
    hidden=16,
    heads=2,
    head_size=8,
    map_layers=0,
    agent_layers=1,
    frequencies=16,
    map_to_agent_radius=10.0,
    history_dropout=0.0,
)


def small_network(horizon: int = 20, seed: int = 0) -> TrajectoryNetwork:
    """With random weights, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TrajectoryNetwork(TrajectoryConfig(trunk=SMALL, horizon=horizon), small_vocabulary()).eval()


@cache
def family_tokens(family: str, seed: int) -> SceneTokens:
    """Of a generated scene of a few vehicles; the map near them."""
    return Tokenizer(small_vocabulary())(find_family(family).sample(seed).scene).with_map_near(20.0)


def straight(speed: float, x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> NDArray[np.float64]:
    """A log along `yaw`, which is at (x, y) "now": poses at all steps of the window, ``[91, 3]``."""
    way = speed * 0.1 * (np.arange(STEPS) - 10)
    return np.stack([x + way * np.cos(yaw), y + way * np.sin(yaw), np.full(STEPS, yaw)], -1)


def batch_of(paths: Sequence[NDArray[np.float64]], known_until: int = STEPS - 1) -> Batch:
    """Vehicles with these logs, which end at a step of the window, on an empty map."""
    path = torch.from_numpy(np.stack(paths)).float()
    there = torch.arange(STEPS) <= known_until
    num, ends = len(path), path[:, STEPS_PER_TOKEN::STEPS_PER_TOKEN]
    zeros = torch.zeros(num, dtype=torch.long)
    slots = (there[STEPS_PER_TOKEN::STEPS_PER_TOKEN]).expand(num, -1).clone()
    agents = AgentBatch(
        scene=zeros,
        group=zeros,
        type=zeros,
        size=torch.tensor([[4.8, 2.0, 1.5]]).repeat(num, 1),
        token=torch.zeros((num, NUM_TOKENS), dtype=torch.long),
        xy=ends[..., :2].clone(),
        yaw=ends[..., 2].clone(),
        valid=slots,
        raw_xy=ends[..., :2].clone(),
        raw_yaw=ends[..., 2].clone(),
        raw_valid=slots.clone(),
        path=path,
        path_valid=there.expand(num, -1).clone(),
        learns=torch.ones(num, dtype=torch.bool),
    )
    one = torch.zeros(1, dtype=torch.long)
    road = MapBatch(
        xy=torch.full((1, 2), 6e4), yaw=torch.zeros(1), token=one, type=one, polygon=one, light=one, scene=one
    )
    return Batch(scene_ids=("drawn by hand",), map=road, agents=agents)
