"""Plans lead where the formula says, and are found again from where they led."""

from __future__ import annotations

import math

import pytest
import torch

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.trajectory.config import TrajectoryConfig
from trafficgym_agents.policies.trajectory.plans import PlanSpace
from trafficgym_agents.policies.trajectory.poses import own_velocity, placed, seen_from

HORIZONS = (5, 20, 40)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_no_acceleration_is_constant_velocity(horizon: int) -> None:
    velocity = torch.tensor([[10.0, -0.5, 0.3]])
    found = PlanSpace(horizon).trajectory(torch.zeros((1, horizon // 5, 3)), velocity)
    seconds = 0.1 * torch.arange(1, horizon + 1)
    want = torch.stack([10 * seconds, -0.5 * seconds, 0 * seconds], -1)
    torch.testing.assert_close(found[0], want, rtol=0, atol=1e-5)


def test_by_hand() -> None:
    """2 m/s^2 for half a second: displacements of 0.1 (1 + 0.2 k) m, k = 1 ... 5; then 2 m/s, drifting to the right."""
    plan = torch.tensor([[[2.0, 0.0, 0.0], [0.0, -1.0, 0.0]]])
    found = PlanSpace(10).trajectory(plan, torch.tensor([[1.0, 0.0, 0.0]]))[0]
    x = [0.12, 0.26, 0.42, 0.60, 0.80, 1.0, 1.2, 1.4, 1.6, 1.8]
    y = [0, 0, 0, 0, 0, -0.01, -0.03, -0.06, -0.10, -0.15]
    torch.testing.assert_close(found, torch.tensor([x, y, [0.0] * 10]).T, rtol=0, atol=1e-6)


def test_round_a_circle() -> None:
    """A yaw rate alone: at 5 m/s and 0.5 rad/s chords of 0.5 m lie on a circle of 10 m, and end where it is met again.

    A chord of a circle of radius r that turns by b is 2 r sin(b / 2) long.
    """
    plan = torch.zeros((1, 4, 3))
    plan[..., 2] = 0.5
    found = PlanSpace(20).trajectory(plan, torch.tensor([[5.0, 0.0, 0.5]]))[0]
    angle, radius = 0.05 * torch.arange(1, 21), 0.25 / math.sin(0.025)
    want = torch.stack([radius * angle.sin(), radius * (1 - angle.cos()), angle], -1)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-5)


def test_later_plans_leave_the_beginning_alone() -> None:
    space, velocity = PlanSpace(20), torch.tensor([[5.0, 0.0, 0.0]])
    plan = torch.randn((1, 4, 3), generator=torch.Generator().manual_seed(0))
    other = plan.clone()
    other[:, 2:] += 1.0
    first, second = space.trajectory(plan, velocity), space.trajectory(other, velocity)
    assert torch.equal(first[:, :10], second[:, :10]) and (first[:, 10:] != second[:, 10:]).all()


@pytest.mark.parametrize("horizon", HORIZONS)
def test_plans_are_found_again(horizon: int) -> None:
    """Whole, and the half seconds that are known; nothing is planned for the others."""
    space, generator = PlanSpace(horizon), torch.Generator().manual_seed(0)
    plan = torch.randn((horizon // 5 + 1, horizon // 5, 3), generator=generator)
    velocity = torch.randn((len(plan), 3), generator=generator)
    known = torch.arange(len(plan))
    found = space.fit(space.trajectory(plan, velocity), velocity, known)
    is_known = torch.arange(plan.shape[1]) < known[:, None]
    want = torch.where(is_known[..., None], plan, 0.0)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-3)


@pytest.mark.parametrize("horizon", (5, 20))
def test_following_a_wave_again_and_again(horizon: int) -> None:
    """Half a second of each fitted plan is driven, for 20 s: errors do not build up, nor do accelerations."""
    space, step = PlanSpace(horizon), torch.arange(0, 240)

    def wave(k: torch.Tensor) -> torch.Tensor:
        t = 0.1 * k.double()
        x, y = 5 * t + (0.7 * t).sin(), 0.3 * (1.1 * t).cos()
        return torch.stack([x, y, torch.atan2(-0.33 * (1.1 * t).sin(), 5 + 0.7 * (0.7 * t).cos())], -1).float()

    pose, velocity = wave(step[:1]), own_velocity(wave(step[:1] - 1), wave(step[:1]))
    for k in range(0, 200, 5):
        ahead = seen_from(pose, wave(step[None, k + 1 : k + 1 + horizon]))
        plan = space.fit(ahead, velocity, torch.tensor([horizon // 5]))
        way = space.trajectory(plan, velocity)[:, :5]
        assert (way - ahead[:, :5]).abs().max() < 0.03 and plan.abs().max() < 1.5
        pose, velocity = placed(pose, way)[:, -1], own_velocity(way[:, -2], way[:, -1])


def test_there_and_back() -> None:
    generator = torch.Generator().manual_seed(0)
    pose, poses = torch.rand((7, 3), generator=generator), torch.rand((7, 4, 3), generator=generator)
    torch.testing.assert_close(seen_from(pose, placed(pose, poses)), poses, rtol=0, atol=1e-4)


@pytest.mark.parametrize("horizon", (0, 7, 45, 20.0))
def test_bad_horizons(horizon: float) -> None:
    with pytest.raises(ConfigError, match="horizon is"):
        TrajectoryConfig(horizon=horizon)  # type: ignore[arg-type]
