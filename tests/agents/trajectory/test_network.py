"""What makes no difference to plans and to rollouts, and what checkpoints keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.smart.generated_tokens import in_general_position, moved, scene_tokens
from tests.agents.smart.small_vocabulary import small_vocabulary
from tests.agents.trajectory.driving import family_tokens, small_network
from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.tokens import SceneTokens
from trafficgym_agents.policies.smart.vocabulary import Vocabulary
from trafficgym_agents.policies.trajectory.checkpoint import load_trajectory, save_trajectory
from trafficgym_agents.policies.trajectory.decoding import PlanDecision, PlanSampling, roll_out
from trafficgym_agents.policies.trajectory.network import PlanNodes, TrajectoryNetwork
from trafficgym_agents.policies.trajectory.states import on_log
from trafficgym_agents.training.checkpoint import Card

Tensor = Any

CARD = Card(kind="", config={}, algorithm="none", data="none", seed=0)


@pytest.fixture(scope="module")
def network() -> TrajectoryNetwork:
    """With a head that says something."""
    network = small_network()
    with torch.no_grad():
        last = network.plan_head.mlp[-1]
        last.weight.copy_(0.3 * torch.randn(last.weight.shape, generator=torch.Generator().manual_seed(0)))
    return network


@pytest.fixture(scope="module")
def tokens() -> SceneTokens:
    """Vehicles, pedestrians and cyclists whose logs are a little elsewhere, and turned; see `in_general_position`.

    Who drives straight on would otherwise see where it was at an angle of pi or of -pi, as rounding decides.
    """
    tokens = in_general_position(scene_tokens(0)).with_map_near(20.0)
    agents, rng = tokens.agents, np.random.default_rng(0)
    shift = rng.uniform(0.02, 0.2, (len(agents), 1, 3)).astype(np.float32)
    path = agents.path + np.where(agents.path_valid[..., None], shift, 0)
    raw = np.where(agents.raw_valid[..., None], shift, 0)
    moved = replace(agents, path=path, raw_xy=agents.raw_xy + raw[..., :2], raw_yaw=agents.raw_yaw + raw[..., 2])
    return replace(tokens, agents=moved)


@torch.no_grad()
def predict(network: TrajectoryNetwork, tokens: SceneTokens) -> PlanNodes:
    return network(on_log(network, Batch.of([tokens])))


@torch.no_grad()
def drive(network: TrajectoryNetwork, *scenes: SceneTokens, num: int = 2, **options: Any) -> Tensor:
    rngs = [np.random.default_rng(seed) for _ in scenes for seed in range(num)]
    return roll_out(network, Batch.of(scenes), PlanSampling(), num=num, rngs=rngs, **options).steps


def test_it_begins_with_constant_velocity(tokens: SceneTokens) -> None:
    assert predict(small_network(), tokens).plans.mode.abs().max() == 0


@pytest.mark.parametrize(("angle", "shift"), [(0.7, (0.0, 0.0)), (2.3, (-300.0, 400.0))])
def test_elsewhere(tokens: SceneTokens, network: TrajectoryNetwork, angle: float, shift: tuple[float, float]) -> None:
    """Rotated and translated: plans are the same, in the agents' frames, and drives are rotated and translated."""
    want, found = predict(network, tokens), predict(network, moved(tokens, angle, shift))
    assert want.plans.mean.std(0).min() > 0.02  # untrained as it is, it does tell situations apart
    torch.testing.assert_close(found.plans.mean, want.plans.mean, rtol=0, atol=2e-3)
    torch.testing.assert_close(found.plans.sigma, want.plans.sigma, rtol=0, atol=2e-3)
    # Four seconds: what rounding differs by, five hundred metres away, grows.
    here, there = (drive(network, one)[:, :40, :2].double() for one in (tokens, moved(tokens, angle, shift)))
    turn = torch.tensor([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    torch.testing.assert_close(there, here @ turn + torch.tensor(shift), rtol=0, atol=0.05)


def test_a_choice_that_fails(tokens: SceneTokens) -> None:
    """The network is in the mode it was in."""

    def choose(decision: PlanDecision) -> Tensor:
        raise KeyError("no choice")

    network = small_network().train()
    with pytest.raises(KeyError, match="no choice"):
        roll_out(network, Batch.of([tokens]), choose, rngs=[np.random.default_rng(0)])
    assert network.training


def test_learning_sees_what_driving_saw(network: TrajectoryNetwork, tokens: SceneTokens) -> None:
    """The distributions that plans were drawn from are those of the rollout, read back as a batch."""
    seen: list[PlanDecision] = []

    def choose(decision: PlanDecision) -> Tensor:
        seen.append(decision)
        return PlanSampling()(decision)

    batch = Batch.of([tokens])
    driven = roll_out(network, batch, choose, num=2, rngs=[np.random.default_rng(i) for i in (0, 1)], table_rows=0)
    with torch.no_grad():
        nodes = network(driven.batch)
    for decision in seen:
        rows = nodes.slot == decision.slot - 1
        drawn = decision.plans[nodes.agent[rows]]
        torch.testing.assert_close(nodes.plans[rows].mean, drawn.mean, rtol=0, atol=1e-4)
        torch.testing.assert_close(nodes.plans[rows].sigma, drawn.sigma, rtol=0, atol=1e-4)
    assert len(seen) == 16 and torch.equal(nodes.executed.mean, nodes.plans.mean[:, 0])


def test_plans_are_carried_out(network: TrajectoryNetwork, tokens: SceneTokens) -> None:
    """Differences of velocities are the accelerations planned first, in the frame of the agent as it turns."""
    driven = roll_out(network, Batch.of([tokens]), PlanSampling(), rngs=[np.random.default_rng(0)])
    agents, plan = driven.agents, driven.batch.plan[:, 2:, 0].double().repeat_interleave(5, 1)
    assert driven.steps.shape == (len(agents), 80, 3) and agents.valid[:, 1:].all()
    torch.testing.assert_close(driven.steps[:, 4::5, :2], agents.xy[:, 2:])
    path = torch.cat([agents.path[:, 10:11], driven.steps], 1).double()
    moved = path.diff(dim=1) / 0.1
    turn = torch.atan2((0.1 * moved[..., 2]).sin(), (0.1 * moved[..., 2]).cos()) / 0.1  # headings jump at pi
    yaw = path[:, :-1, 2] + 0.05 * turn
    x, y = moved[..., 0], moved[..., 1]
    velocity = torch.stack([yaw.cos() * x + yaw.sin() * y, yaw.cos() * y - yaw.sin() * x], -1)
    acceleration = velocity.diff(dim=1, prepend=driven.batch.velocity[:, 1:2, :2].double()) / 0.1
    torch.testing.assert_close(acceleration, plan[..., :2], rtol=0, atol=0.03)
    torch.testing.assert_close(turn, plan[..., 2], rtol=0, atol=1e-3)


def test_seeds_decide(network: TrajectoryNetwork, tokens: SceneTokens) -> None:
    """The same again; other rollouts differ; and who else is rolled out does not count."""
    found = drive(network, tokens)
    assert torch.equal(found, drive(network, tokens))
    num = len(tokens.agents)
    assert not torch.equal(found[:num], found[num:])
    both = drive(network, family_tokens("hard-brake", 0), tokens)
    torch.testing.assert_close(both[-2 * num :], found, rtol=0, atol=1e-3)
    alone = drive(network, tokens, num=1)
    torch.testing.assert_close(found[:num], alone, rtol=0, atol=1e-3)


def test_no_parameter_is_without_use(network: TrajectoryNetwork, tokens: SceneTokens) -> None:
    """Those without a gradient would stop training in several processes."""
    training = small_network().train()
    with torch.no_grad():
        training.plan_head.mlp[-1].weight.fill_(0.1)
    batch = on_log(training, Batch.of([tokens]))
    nodes = training(batch)
    nodes.plans.log_prob(batch.plan[nodes.agent, nodes.slot + 1]).sum().backward()
    unused = [name for name, parameter in training.named_parameters() if parameter.grad is None]
    assert all("map_encoder.r_pt2pt_emb" in name for name in unused)  # this map encoder has no layers


def test_checkpoints(network: TrajectoryNetwork, tokens: SceneTokens, tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    card = save_trajectory(path, network, replace(CARD, algorithm="random"))
    found, read = load_trajectory(path)
    assert read == card and (card.kind, card.algorithm) == ("trajectory", "random")
    assert found.config == network.config and not found.training
    assert torch.equal(drive(found, tokens), drive(network, tokens))
    known = small_vocabulary()
    other = Vocabulary(
        **{name: getattr(known, name)[:2] for name in ("vehicle", "pedestrian", "cyclist", "map_pieces")}
    )
    with pytest.raises(ConfigError, match=f"{known.hash}.*{other.hash}"):
        load_trajectory(path, vocabulary=other)
