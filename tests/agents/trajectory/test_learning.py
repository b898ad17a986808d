"""A small policy learns from logs, and then from its own rollouts near them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.trajectory.driving import family_tokens, small_network
from trafficgym_agents.algorithms.closed_loop import ROAD_TRAJECTORIES, freeze, visit
from trafficgym_agents.algorithms.plan_imitation import PlanLoss, plan_imitation_loss
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.trajectory.decoding import PlanSampling, roll_out
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork
from trafficgym_agents.policies.trajectory.states import PlanBatch, on_log

Tensor = Any


def strayed(batch: PlanBatch) -> float:
    """Mean distance from the log at the ends of slots, m."""
    agents = batch.agents
    return float((agents.xy - agents.raw_xy).norm(dim=-1)[agents.valid & agents.raw_valid].mean())


def rngs(batch: Batch, seed: int, num: int = 1) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(num * len(batch.scene_ids))]


def closed_loop(network: TrajectoryNetwork, batch: Batch) -> float:
    """Of eight rollouts without guidance."""
    return strayed(roll_out(network, batch, PlanSampling(), num=8, rngs=rngs(batch, 7, 8)).batch)


def train(parameters: list[Tensor], rate: float, steps: int, loss_of: Callable[[int], PlanLoss]) -> list[float]:
    optimizer = torch.optim.AdamW(parameters, rate, fused=True)
    losses = []
    for step in range(steps):
        loss = loss_of(step).mean
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Batch.of([family_tokens("hard-brake", 0), family_tokens("cut-in", 1)])


@pytest.fixture(scope="module")
def trained(batch: Batch) -> tuple[TrajectoryNetwork, Tensor, list[float]]:
    """By behaviour cloning, but not to the end; the features of the map, which stay; losses."""
    network = small_network().train()
    with torch.no_grad():
        features = network.encode_map(batch.map)
    log = on_log(network, batch)
    losses = train(
        freeze(network, ("map_encoder.",)), 8e-3, 60, lambda _: plan_imitation_loss(network, log, map_features=features)
    )
    return network, features, losses


def test_behaviour_cloning(batch: Batch, trained: tuple[TrajectoryNetwork, Tensor, list[float]]) -> None:
    """Plans of the log become likelier, and rollouts stay nearer to it than those of constant velocity."""
    network, _, losses = trained
    assert losses[-1] < losses[0] - 5
    assert closed_loop(network, batch) < 0.8 * closed_loop(small_network(), batch)


def test_closed_loop_fine_tuning(batch: Batch, trained: tuple[TrajectoryNetwork, Tensor, list[float]]) -> None:
    """RoaD with its recovery mode, one collection: what was done near the log becomes likelier."""
    base, features, _ = trained
    network = small_network().train()
    network.load_state_dict(base.state_dict())
    method = replace(ROAD_TRAJECTORIES, k=32)
    kept: list[Batch] = []

    def loss_of(step: int) -> PlanLoss:
        if method.is_fresh(step):
            kept.append(visit(network, batch, method, rngs(batch, step), map_features=features))
        return plan_imitation_loss(network, kept[-1], target=method.target, map_features=features)

    losses = train(freeze(network, ("map_encoder.",)), 2e-3, 30, loss_of)
    assert len(kept) == 1 and losses[-1] < losses[0] - 0.5


def test_the_way_back_moves_means_alone(batch: Batch, trained: tuple[TrajectoryNetwork, Tensor, list[float]]) -> None:
    """On a rollout; the half of the head's last layer that spreads plans gets no gradient."""
    network, features, _ = trained
    driven = roll_out(network, batch, PlanSampling(), rngs=rngs(batch, 0), map_features=features).batch
    network.zero_grad()
    plan_imitation_loss(network, driven, target="recovery", map_features=features).mean.backward()
    gradient = network.plan_head.mlp[-1].bias.grad.view(-1, 2)
    assert (gradient[:, 0] != 0).all() and (gradient[:, 1] == 0).all()
