"""Worlds move as rollouts without a world do."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.agents.trajectory.driving import small_network
from tests.world.micro import Box, micro_scene
from trafficgym.scene.scene import AgentType
from trafficgym.world.roll_out import roll_out_batch
from trafficgym.world.world import World, WorldConfig
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.trajectory.decoding import PlanSampling, roll_out
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork
from trafficgym_agents.policies.trajectory.policy import TrajectoryPolicy
from trafficgym_scenarios.nominal import nominal_scene


@pytest.fixture(scope="module")
def network() -> TrajectoryNetwork:
    """With a head that says something."""
    network = small_network()
    with torch.no_grad():
        last = network.plan_head.mlp[-1]
        last.weight.copy_(0.2 * torch.randn(last.weight.shape, generator=torch.Generator().manual_seed(0)))
    return network


@pytest.mark.parametrize("temperature", (0.0, 0.5))
def test_the_world_moves_as_rollouts_without_a_world(network: TrajectoryNetwork, temperature: float) -> None:
    """To a millimetre: what is added up lies in the world in the scene's frame."""
    scene, seeds = nominal_scene(3), [3, 4]
    policy = TrajectoryPolicy(network, PlanSampling(temperature=temperature))
    runs = roll_out_batch(scene, policy, seeds, config=WorldConfig(horizon=80))
    tokens = Tokenizer(network.vocabulary)(scene)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    steps = roll_out(network, Batch.of([tokens]), policy.sampling, num=2, rngs=rngs).steps.numpy()
    for run, wanted in zip(runs, steps.reshape(2, scene.num_agents, 80, 3), strict=True):
        found = np.stack([run.x, run.y, run.yaw], -1)[:, 1:]
        away = np.hypot(*(found - wanted)[..., :2].transpose(2, 0, 1))
        assert away.max() < 1e-3
        assert np.abs(np.sin(found - wanted)[..., 2]).max() < 1e-3
    assert policy.is_random == (temperature > 0) == bool(np.abs(runs[0].x - runs[1].x).max() > 0.01)
    assert np.abs(runs[0].x[:, -1] - runs[0].x[:, 0]).max() > 1


def test_behind_an_ego_and_in_a_copy(network: TrajectoryNetwork) -> None:
    """The ego brakes at every step of 0.1 s; the others plan at every fifth, in a copy made in between, too."""
    scene, policy = nominal_scene(4), TrajectoryPolicy(network)
    world = World([scene], control={"all": policy, "sdc": "external"}, seeds=[0])
    brake = np.tile([-1.0, 0.0], (1, world.num_agents, 1))

    def drive(one: World, steps: int) -> list[bytes]:
        states: list[bytes] = []
        while len(states) < steps:
            one.step(brake, after_each=lambda _: states.append(one.state.table.tobytes()))
        return states

    drive(world, 7)
    twin = copy.deepcopy(world)
    assert drive(twin, 20) == drive(world, 20)


def test_tracks_without_tokens_go_straight_on(network: TrajectoryNetwork) -> None:
    moving = Box(x=(0.5 * np.arange(20)).tolist(), y=9.0, speed=5.0, kind=AgentType.OTHER)
    world = World([micro_scene(Box(), moving, num_steps=20, current_step=10)], control=TrajectoryPolicy(network))
    world.end_step[:] = 60
    while world.step_index[0] < 50:
        world.step()
    state = world.state
    np.testing.assert_allclose([state.x[0, 1], state.y[0, 1], state.yaw[0, 1]], [25.0, 9.0, 0.0], atol=1e-3)
