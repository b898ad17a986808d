"""Where agents are on their logs, how they move there, and which plans lead back; worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.smart.small_vocabulary import VEHICLE
from tests.agents.trajectory.driving import STEPS, batch_of, family_tokens, small_network, straight
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork
from trafficgym_agents.policies.trajectory.states import log_ahead, log_plans, log_velocity, on_log

Tensor = Any


@pytest.fixture(scope="module")
def network() -> TrajectoryNetwork:
    return small_network()


def test_on_the_log(network: TrajectoryNetwork) -> None:
    """At 8 and at 10 m/s: tokens 1 and 2 end 4 m and 5 m ahead; no plan accelerates."""
    assert [VEHICLE[1][0], VEHICLE[2][0]] == [4.0, 5.0]
    found = on_log(network, batch_of([straight(8.0), straight(10.0, y=50.0, yaw=2.0)]))
    assert (found.agents.token == torch.tensor([[1], [2]])).all()
    want = torch.tensor([[8.0, 0.0, 0.0], [10.0, 0.0, 0.0]])[:, None].expand(2, 18, 3)
    torch.testing.assert_close(found.velocity, want, rtol=0, atol=1e-3)
    assert found.plan.abs().max() < 0.01
    # Slot 17 ends the log: of what follows slot 13 two seconds are there, of what follows slot 16 one half.
    assert found.known[0].tolist() == [0] + [4] * 14 + [3, 2, 1]


def test_tokenised_scenes_are_put_back_on_their_logs(network: TrajectoryNetwork) -> None:
    tokens = family_tokens("hard-brake", 0)
    batch = Batch.of([tokens])
    found, again = on_log(network, batch), on_log(network, on_log(network, batch))
    assert torch.equal(found.agents.xy, batch.agents.raw_xy) and not torch.equal(batch.agents.xy, batch.agents.raw_xy)
    assert torch.equal(found.agents.valid, batch.agents.valid)
    for name in ("velocity", "plan", "known"):
        assert torch.equal(getattr(found, name), getattr(again, name))
    # Plans on the log are those of the log: within a few centimetres of where it goes.
    agent, slot = torch.nonzero(found.known[:, 1:] == network.space.segments, as_tuple=True)
    ahead, _ = log_ahead(found.agents, agent, slot, 20)
    way = network.space.trajectory(found.plan[agent, slot + 1], found.velocity[agent, slot])
    assert (way - ahead[:, 1:])[..., :2].norm(dim=-1).max() < 0.1


def test_velocity_is_that_of_the_last_step(network: TrajectoryNetwork) -> None:
    """1 m and 0.1 rad in the last 0.1 s of a slot, nothing before: rates are 10 m/s, seen with the heading in
    the middle, and the slot's mean of 0.2 rad/s. So it is with the position where that step is not known."""
    path = np.zeros((STEPS, 3))
    path[5:] = [1.0, 0.0, 0.1]
    agents = batch_of([path]).agents
    cos, sin = np.cos(0.09), np.sin(0.09)  # the heading 0.05 s ago, at the slot's rate
    want = torch.tensor([[10 * cos, -10 * sin, 0.2], [0.0, 0.0, 0.0]], dtype=torch.float32)
    torch.testing.assert_close(log_velocity(agents)[0, :2], want)
    agents.path_valid[:, 4] = False
    torch.testing.assert_close(log_velocity(agents)[0, 0], want[0] * torch.tensor([0.2, 0.2, 1.0]))


def test_the_way_back(network: TrajectoryNetwork) -> None:
    """1 m to the left of a log along x: steadily to the right, 5 cm with each of 20 steps."""
    agents = batch_of([straight(10.0)]).agents
    agents.xy[:, 4] += torch.tensor([0.0, 1.0])
    velocity, here = torch.tensor([[10.0, 0.0, 0.0]]), (torch.tensor([0]), torch.tensor([4]))
    log, there = log_ahead(agents, *here, 20)
    torch.testing.assert_close(log[0, :, 1], torch.full((21,), -1.0))
    torch.testing.assert_close(log[0, :, 0], torch.arange(21.0))
    plan, known = log_plans(network, agents, *here, velocity)
    assert there.tolist() == [20] and known.tolist() == [4]
    way = network.space.trajectory(plan, velocity)[0]
    assert (way[:, 1] + 0.05 * torch.arange(1, 21)).abs().max() < 0.1
    assert plan[0, 0, 1] < -0.3 and plan[0, :, [0, 2]].abs().max() < 0.01


def test_headings_beyond_half_a_turn(network: TrajectoryNetwork) -> None:
    """The log counts turns, agents' headings do not: 3.1 and 3.1 + 4 pi are the same."""
    path = straight(5.0, yaw=3.1)
    path[:, 2] += 4 * np.pi
    batch = batch_of([path])
    agents = replace(batch.agents, yaw=torch.full_like(batch.agents.yaw, 3.1))
    ahead, _ = log_ahead(agents, torch.tensor([0]), torch.tensor([5]), 20)
    assert ahead[..., 2].abs().max() < 1e-5
