"""Which plans are executed near the log, and how agents that strayed are led back to it; numbers worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.trajectory.driving import batch_of, straight
from trafficgym.errors import ConfigError
from trafficgym_agents.algorithms.closed_loop import ROAD_TRAJECTORIES, ClosedLoop
from trafficgym_agents.algorithms.plan_selection import select_plans
from trafficgym_agents.algorithms.recovery import Recovery
from trafficgym_agents.policies.distributions import Gaussian
from trafficgym_agents.policies.smart.decoding import Decision
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.trajectory.decoding import PlanDecision, PlanSampling
from trafficgym_agents.policies.trajectory.distance import distances
from trafficgym_agents.policies.trajectory.plans import PlanSpace

MEAN = (1 / 20,) * 20
TO_SAMPLE = Sampling(top_k=None)


def decision(slot: int = 2, aside: float = 0.0, known_until: int = 90, sigma: float = 1.0) -> PlanDecision:
    """A vehicle at 10 m/s along x, and `aside` to the left of its log, which goes on at 10 m/s."""
    log = straight(10.0, x=3.0, y=-2.0)
    agents = batch_of([log], known_until).agents
    agents.xy[:, slot - 1] += torch.tensor([0.0, aside])
    network: Any = SimpleNamespace(space=PlanSpace(20))
    return PlanDecision(
        plans=Gaussian(mean=torch.zeros((1, 4, 3)), sigma=torch.full((1, 4, 3), sigma)),
        slot=slot,
        agents=agents,
        velocity=torch.tensor([[10.0, 0.0, 0.0]]),
        network=network,
        rngs=[np.random.default_rng(0)],
    )


def test_distance_of_parallel_and_of_turned_boxes() -> None:
    """Boxes of 4.8 m x 2 m: 1 m aside is 1 m for all corners; turned about the centre, each corner moves
    2 sin(a / 2) times its distance of 2.6 m from it."""
    log = torch.zeros((1, 20, 3))
    beside, turned = log + torch.tensor([0.0, 1.0, 0.0]), log + torch.tensor([0.0, 0.0, 1.0])
    offered = torch.stack([log[0], beside[0], turned[0]])[None]
    found, is_guided = distances(torch.zeros(1, dtype=torch.long), offered, log, torch.tensor([20]), MEAN)
    want = torch.tensor([[0.0, 1.0, 2 * math.sin(0.5) * 2.6]])
    torch.testing.assert_close(found, want, rtol=0, atol=1e-5)
    assert is_guided.tolist() == [True]


def test_distance_counts_weighted_steps_where_the_log_is() -> None:
    """1 m away at step 1, 2 m at step 2 ...; weights of what is missing go to the others."""
    log, type = torch.zeros((4, 5, 3)), torch.zeros(4, dtype=torch.long)
    offered = torch.zeros((4, 1, 5, 3))
    offered[..., 0] = torch.arange(1.0, 6.0)
    weights = (0.5, 0.0, 0.25, 0.25)
    there = torch.tensor([5, 4, 3, 0])
    found, is_guided = distances(type, offered, log, there, weights)
    assert found[:, 0].tolist() == pytest.approx([2.25, 2.25, (0.5 + 0.75) / 0.75, 0.0])
    assert is_guided.tolist() == [True, True, True, False]
    with pytest.raises(ConfigError, match=r"for 6 steps of .*, and the policy plans 5"):
        distances(type, offered, log, there, (1.0,) * 6)


def test_blend_by_hand() -> None:
    """At steps 1, 15, 30 and 40 of a ramp of 30 the log's share is 1/30, 1/2, 1 and 1."""
    trajectory, log = torch.zeros((40, 3)), torch.tensor([3.0, -6.0, 0.3]).expand(40, 3)
    found = Recovery().blend(trajectory, log)[[0, 14, 29, 39]]
    share = torch.tensor([[1 / 30], [1 / 2], [1.0], [1.0]])
    torch.testing.assert_close(found, share * torch.tensor([3.0, -6.0, 0.3]))


@pytest.mark.parametrize(("slot", "is_on"), [(2, True), (9, True), (10, True), (11, False), (17, False)])
def test_off_in_the_last_four_seconds(slot: int, is_on: bool) -> None:
    """Slot 10 begins 4 s after "now", 4 s before the end; slot 11 3.5 s before it."""
    assert Recovery().is_on(slot) == is_on
    assert Recovery(off_last_s=0.0).is_on(slot)


@pytest.mark.parametrize(("aside", "is_led"), [(2.9, False), (3.1, True)])
def test_recovery_sets_in_beyond_the_trigger(aside: float, is_led: bool) -> None:
    """Keeping beside the log is `aside` away, whatever comes: the blend leads back by the ramp, in the end by 2/3."""
    here = decision(aside=aside)
    offered = torch.zeros((1, 1, 4, 3))
    plan = select_plans(here, offered, MEAN, Recovery())
    if not is_led:
        assert torch.equal(plan, offered[:, 0])
        return
    trajectory = here.trajectories(plan[:, None])[0, 0]
    share = torch.arange(1, 21) / 30
    torch.testing.assert_close(trajectory[:, 0], torch.arange(1.0, 21.0), rtol=0, atol=1e-3)
    # A straight ramp would need a jump of the velocity to the side; the nearest plan has none.
    assert (trajectory[:, 1] + aside * share).abs().max() < 0.25
    assert trajectory[-1, 1].item() == pytest.approx(-aside * 2 / 3, abs=0.1)
    for off in (select_plans(here, offered, MEAN), select_plans(decision(11, aside), offered, MEAN, Recovery())):
        assert torch.equal(off, offered[:, 0])


def test_recovery_ends_with_the_log() -> None:
    """It is there for 12 steps: two half seconds are blended, the rest stays as it was planned."""
    here = decision(aside=5.0, known_until=22)
    offered = torch.full((1, 1, 4, 3), 0.1)
    plan = select_plans(here, offered, MEAN, Recovery())
    assert torch.equal(plan[:, 2:], offered[:, 0, 2:]) and (plan[:, :2, 1] != 0.1).all()
    lost = decision(aside=5.0, known_until=10)
    assert torch.equal(select_plans(lost, offered, MEAN, Recovery()), offered[:, 0])


def test_the_nearest_of_k_is_executed() -> None:
    """It is among those that are drawn, and none of them is nearer; without a log it is the first."""
    method = replace(ROAD_TRAJECTORIES, k=16, recovery=None)
    plan, offered = method(decision(aside=1.0)), decision(aside=1.0).draw(16, PlanSampling(temperature=0.8))
    here = decision(aside=1.0)
    trajectories = here.trajectories(offered)
    log = torch.tensor([1.0, 0, 0]) * torch.arange(1, 21)[:, None] - torch.tensor([0, 1.0, 0])
    away, _ = distances(here.agents.type, trajectories, log[None], torch.tensor([20]), MEAN)
    assert torch.equal(plan, offered[:, int(away.argmin())]) and int(away.argmin()) != 0
    assert torch.equal(method(decision(known_until=10)), decision().draw(16, PlanSampling(temperature=0.8))[:, 0])


def test_plain_samples() -> None:
    method = ClosedLoop(selector="sample", sampling=TO_SAMPLE)
    assert torch.equal(method(decision()), PlanSampling()(decision()))
    assert torch.equal(PlanSampling(temperature=0.0)(decision()), torch.zeros((1, 4, 3)))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"selector": "topk_closest"}, "'topk_closest' counts tokens"),
        ({"selector": "all_closest"}, "'all_closest' counts tokens"),
        ({"selector": "sample", "sampling": Sampling(top_k=5)}, "top_k and top_p are for tokens"),
        ({"selector": "samplek_closest", "distance_weights": (1.0,) * 21}, "for 21 steps"),
    ],
)
def test_settings_that_do_not_fit_trajectories(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        ClosedLoop(**options)(decision())


@pytest.mark.parametrize(
    ("options", "names"),
    [({"recovery": Recovery()}, "recovery blends trajectories"), ({"distance_weights": MEAN}, "tokens have 5 steps")],
)
def test_settings_that_do_not_fit_tokens(options: dict[str, Any], names: str) -> None:
    none: Any = None
    tokens = Decision(logits=torch.zeros((1, 5)), slot=2, agents=none, xy=none, yaw=none, network=none, rngs=[])
    with pytest.raises(ConfigError, match=names):
        ClosedLoop(**options)(tokens)


@pytest.mark.parametrize("options", [{"trigger_m": -1.0}, {"ramp_steps": 0}, {"off_last_s": float("nan")}])
def test_bad_recovery(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))} is"):
        Recovery(**options)
