"""Where agents are told to go: nothing where they are not, the same slot by slot, wherever the scene lies."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from tests.agents.smart.generated_tokens import (
    MICRO,
    in_general_position,
    moved,
    scene_tokens,
    small_network,
    with_gaps,
)
from trafficgym.errors import ConfigError
from trafficgym.metrics.goals import logged_goals
from trafficgym_agents.policies.smart import checkpoint
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.checkpoint import load_smart, save_smart
from trafficgym_agents.policies.smart.conditioning import conditioned
from trafficgym_agents.policies.smart.config import GOALS
from trafficgym_agents.policies.smart.decoding import Decoder, roll_out
from trafficgym_agents.policies.smart.goal_inputs import Stand, polar
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.simulation import from_the_log, simulate
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.tokens import SceneTokens
from trafficgym_agents.training.checkpoint import Card
from trafficgym_scenarios import nominal_scenes

Tensor = Any
Kind = Literal["concatenation", "indication"]

kinds = pytest.mark.parametrize("kind", GOALS)


def few(seed: int) -> SceneTokens:
    """Six agents of a generated scene and the map around their ways: relations computed exactly take long."""
    tokens = in_general_position(scene_tokens(seed))
    agents = tokens.agents
    values = {f.name: getattr(agents, f.name)[:6] for f in fields(agents)}
    return replace(tokens, agents=replace(agents, **values)).with_map_near(12.0)


@pytest.fixture(scope="module")
def tokens() -> SceneTokens:
    """Agents come and go."""
    return with_gaps(few(0))


@pytest.fixture(scope="module")
def plain() -> SmartNetwork:
    return small_network()


def trained(plain: SmartNetwork, kind: Kind, seed: int = 1) -> SmartNetwork:
    """A network to which goals mean something: what begins at zero is random."""
    network, generator = conditioned(plain, kind), torch.Generator().manual_seed(seed)
    goal = network.agent_encoder.goal
    assert goal is not None
    with torch.no_grad():
        for parameter in goal.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.ndim > 1 else 1.0))
    return network


def some_goals(batch: Batch, *, every: int = 2) -> Tensor:
    """Where the log of each second agent ends, a little aside: near for some, far for others."""
    agents = batch.agents
    goal = agents.xy[:, 1] + 1.5 * (agents.raw_xy[:, -1] - agents.xy[:, 1]) + torch.tensor([1.0, -2.0])
    return torch.where((torch.arange(len(agents)) % every == 0)[:, None], goal, torch.nan)


@torch.no_grad()
def logits(network: SmartNetwork, batch: Batch, table_rows: int = 0) -> Tensor:
    return network(batch, table_rows=table_rows).logits


def check_same(found: Tensor, want: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, want, rtol=0, atol=atol)


@torch.no_grad()
def largest_difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).where(one.isfinite(), 0.0).abs().max())


@kinds
def test_without_goals_nothing_is_different(tokens: SceneTokens, plain: SmartNetwork, kind: Kind) -> None:
    """To the bit, for a network to which goals mean much."""
    batch = Batch.of([tokens])
    assert not batch.agents.has_goal.any()
    assert torch.equal(logits(trained(plain, kind), batch), logits(plain, batch))
    assert torch.equal(logits(trained(plain, kind), batch, 1024), logits(plain, batch, 1024))


@kinds
@pytest.mark.parametrize("rows", [0, 1024])
def test_goals_have_no_effect_at_first(tokens: SceneTokens, plain: SmartNetwork, kind: Kind, rows: int) -> None:
    """And the first step of training changes that: gradients reach what begins at zero."""
    network, batch = conditioned(plain, kind), Batch.of([tokens])
    aimed = batch.with_goals(some_goals(batch))
    check_same(logits(network, aimed, rows), logits(plain, batch, rows))
    found = network(aimed, table_rows=rows).logits
    torch.logsumexp(found.where(found.isfinite(), -50.0) * torch.arange(found.shape[1]), -1).sum().backward()
    goal = network.agent_encoder.goal
    assert goal is not None
    outermost = [
        p
        for name, p in goal.named_parameters()
        if name in ("columns.weight", "piece", "beyond.3.weight", "at_head.3.weight")
    ]
    assert outermost and all(p.grad is not None and p.grad.any() and not p.any() for p in outermost)


@kinds
def test_only_those_who_see_somebody_with_a_goal_are_different(plain: SmartNetwork, kind: Kind) -> None:
    """Two scenes side by side, a goal in the first: all of the second is the same, and the agent itself is not."""
    first, second = few(0), few(3)
    network, batch = trained(plain, kind), Batch.of([first, second])
    goal = torch.full((len(batch.agents), 2), torch.nan)
    goal[3] = batch.agents.raw_xy[3, -1]
    with torch.no_grad():
        want, found = (network(b) for b in (batch, batch.with_goals(goal)))
    other = batch.agents.scene[want.agent] == 1
    check_same(found.logits[other], want.logits[other])
    assert largest_difference(found.logits[want.agent == 3], want.logits[want.agent == 3]) > 1e-2


@kinds
@pytest.mark.parametrize("rows", [0, 1024])
def test_slot_by_slot(tokens: SceneTokens, plain: SmartNetwork, kind: Kind, rows: int) -> None:
    """What is kept of the past predicts what a pass over all slots predicts."""
    network, batch = trained(plain, kind), Batch.of([tokens, few(3)])
    batch = batch.with_goals(some_goals(batch))
    agents = batch.agents
    with torch.no_grad():
        want, decoder = network(batch, table_rows=rows), Decoder(network, batch, table_rows=rows)
        for slot in range(agents.token.shape[1] - 1):
            now = (values[:, slot] for values in (agents.token, agents.xy, agents.yaw, agents.valid))
            found, nodes = decoder.advance(agents, *now), want.slot == slot
            check_same(found[want.agent[nodes]], want.logits[nodes])


@kinds
def test_tables_hold_for_goals(tokens: SceneTokens, plain: SmartNetwork, kind: Kind) -> None:
    """However far they are: relations to far goals are not read from the tables, which end at the radius."""
    network, batch = trained(plain, kind), Batch.of([tokens])
    for far in (1.0, 20.0):
        aimed = batch.with_goals(batch.agents.xy[:, 1] * far)
        exact, read = logits(network, aimed), logits(network, aimed, 1024)
        check_same(read, exact, 2 * largest_difference(logits(plain, batch, 1024), logits(plain, batch)) + 1e-4)


@kinds
def test_elsewhere(tokens: SceneTokens, plain: SmartNetwork, kind: Kind) -> None:
    """Rotated and translated with its goals."""
    angle, shift = 2.3, (-1000.0, 1000.0)
    network, batch = trained(plain, kind), Batch.of([tokens])
    goal = some_goals(batch)
    turn = torch.tensor([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    there = (goal.double() @ turn + torch.tensor(shift)).float()
    want = logits(network, batch.with_goals(goal))
    assert largest_difference(want, logits(plain, batch)) > 0.02
    check_same(logits(network, Batch.of([moved(tokens, angle, shift)]).with_goals(there)), want, 2e-4)


@kinds
def test_other_goals_other_ways(tokens: SceneTokens, plain: SmartNetwork, kind: Kind) -> None:
    """Near and far, to the left and to the right."""
    network, batch = trained(plain, kind), Batch.of([tokens])
    here = batch.agents.xy[:, 1]
    found = [
        logits(network, batch.with_goals(here + torch.tensor(way)))
        for way in ([4.0, 0.0], [-40.0, 0.0], [40.0, 0.0], [0.0, 40.0])
    ]
    for i, one in enumerate(found):
        assert all(largest_difference(one, other) > 1e-2 for other in found[:i])


@pytest.mark.parametrize(("distance", "is_seen"), [(12.0, True), (35.0, False)])
def test_the_piece_nearest_to_the_goal_is_marked(plain: SmartNetwork, distance: float, is_seen: bool) -> None:
    """Wherever in its surroundings the goal is; within the radius by the mark alone, beyond it by the other network."""
    network = trained(plain, "indication")
    batch = Batch.of([few(0)])
    here, road = batch.agents.xy[0, 1], batch.map.xy
    piece = ((road - here).norm(dim=-1) - distance).abs().argmin()
    neighbours = (road - road[piece]).norm(dim=-1)
    aside = 0.3 * neighbours[neighbours > 0].min() * torch.tensor([0.6, 0.8])
    found = []
    for spot in (road[piece], road[piece] + aside):
        goal = torch.full((len(batch.agents), 2), torch.nan)
        goal[0] = spot
        aimed = batch.with_goals(goal).agents
        decoder = Decoder(network, batch)
        with torch.no_grad():
            found.append(decoder.advance(aimed, *(getattr(aimed, n)[:, 1] for n in ("token", "xy", "yaw", "valid"))))
        looks = decoder._looks.toward(
            goal, Stand(aimed.xy[:, 1], aimed.yaw[:, 1], *torch.ones((2, len(goal)))), aimed.scene
        )
        assert looks.piece is not None and looks.piece.tolist() == [int(piece), *[-1] * (len(goal) - 1)]
        assert (looks.beyond is None) == is_seen
    assert torch.equal(*found)


def test_polar() -> None:
    """Facing north at (1, 2), 1 m/s: 3 m ahead in 4 s, 4 m to the left and overdue, right here, 80 m ahead in 2 s."""
    xy, yaw = torch.tensor([[1.0, 2.0]]).repeat(4, 1), torch.full((4,), torch.pi / 2)
    stand = Stand(xy, yaw, torch.ones(4), torch.tensor([4.0, -1.0, 4.0, 2.0]))
    found = polar(torch.tensor([[1.0, 5.0], [-3.0, 2.0], [1.0, 2.0], [1.0, 82.0]]), stand)
    want = [
        [1, np.log(4), 0.75, 0, 0.075, np.tanh(-0.25 / 4)],
        [1, np.log(5), 0, 0.8, 0.2, np.tanh(1 / 4)],
        [1, 0, 0, 0, 0, np.tanh(-1 / 4)],
        [1, np.log(81), 80 / 81, 0, 4, np.tanh(39 / 4)],
    ]
    check_same(found, torch.tensor(want, dtype=torch.float32), 1e-6)


def test_goals_stay_with_their_agents(tokens: SceneTokens) -> None:
    batch = Batch.of([tokens, few(3)])
    goal = torch.arange(2.0 * len(batch.agents)).view(-1, 2)
    agents = from_the_log(batch.with_goals(goal)).agents
    assert torch.equal(agents.goal, goal) and agents.has_goal.all()
    assert torch.equal(agents.moved_to(3, agents.xy[:, 0], agents.yaw[:, 0]).goal, goal)
    assert torch.equal(agents.moved(agents.token, agents.xy, agents.yaw, agents.valid).goal, goal)
    twice = agents.repeat(2)
    first, num = len(tokens.agents), len(agents)
    assert torch.equal(twice.goal[:first], goal[:first]) and torch.equal(twice.goal[first : 2 * first], goal[:first])
    assert torch.equal(twice.goal[2 * first :], goal[first:].repeat(2, 1)) and len(twice) == 2 * num
    with pytest.raises(ConfigError, match=rf"shape \(2, 2\), and the batch has {num} agents"):
        batch.with_goals(goal[:2])


@kinds
def test_rollouts_predict_from_what_they_did(tokens: SceneTokens, plain: SmartNetwork, kind: Kind) -> None:
    """What a rollout is chosen from is what teacher forcing gives on its tokens, with its goals."""
    network, batch, seen = trained(plain, kind), Batch.of([tokens]), list[Tensor]()
    batch = batch.with_goals(some_goals(batch))

    def choose(decision: Any) -> Tensor:
        seen.append(decision.logits)
        return Sampling(top_k=None)(decision)

    agents = roll_out(network, batch, choose, num=2, rngs=[np.random.default_rng(s) for s in (0, 1)]).agents
    assert torch.equal(agents.has_goal, batch.agents.has_goal.repeat(2))
    with torch.no_grad():
        nodes = network(replace(batch, agents=agents), table_rows=1024)
    for slot in range(1, 17):
        rows = nodes.slot == slot
        check_same(seen[slot - 1][nodes.agent[rows]], nodes.logits[rows], 1e-4)


@kinds
def test_checkpoints_keep_it(plain: SmartNetwork, kind: Kind, tmp_path: Path) -> None:
    network, path = trained(plain, kind), tmp_path / "goal.safetensors"
    save_smart(path, network, Card(kind="", config=None, algorithm="none", data="none", seed=0))
    found, card = load_smart(path)
    assert found.config == replace(MICRO, goal=kind) and card.config["goal"] == kind
    want = network.state_dict()
    assert all(torch.equal(value, want[name]) for name, value in found.state_dict().items())
    with pytest.raises(ConfigError, match=r"tensor|shape"):
        load_smart(path, config=MICRO)


def test_cards_from_before_there_were_goals(
    plain: SmartNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They have no such field, and their networks take none."""
    monkeypatch.setattr(checkpoint, "asdict", lambda config: {k: v for k, v in asdict(config).items() if k != "goal"})
    card = save_smart(
        tmp_path / "old.safetensors", plain, Card(kind="", config={}, algorithm="none", data="none", seed=0)
    )
    assert "goal" not in card.config and load_smart(tmp_path / "old.safetensors")[0].config.goal is None


@kinds
def test_conditioned(plain: SmartNetwork, kind: Kind) -> None:
    """A copy, the same for the same seed; the mode is kept; not twice."""
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    one, other = (conditioned(plain, kind).state_dict() for _ in range(2))
    assert all(torch.equal(value, one[name]) for name, value in before.items())
    assert len(one) > len(before) and all(torch.equal(value, other[name]) for name, value in one.items())
    assert not conditioned(plain, kind).training
    with pytest.raises(ConfigError, match=f"takes goals already, by {kind}"):
        conditioned(conditioned(plain, kind), kind)
    with pytest.raises(ConfigError, match="goal is 'nowhere'; it is 'concatenation', 'indication', or None"):
        replace(MICRO, goal="nowhere")  # type: ignore[arg-type]


def test_the_shipped_network_goes_where_it_is_told() -> None:
    """On three scenes agents end a third nearer to where their logs do than when they are told nothing."""
    network, _ = load_smart("micro_goals")
    scenes = nominal_scenes(3)
    tokens = [Tokenizer(network.vocabulary)(scene) for scene in scenes]
    goals = [logged_goals(scene) for scene in scenes]
    away = []
    for told in (None, goals):
        rollouts = simulate(network, scenes, tokens, Sampling(), num=4, goals=told)
        ends = [tracks[:, :, -1, :2] - goal for tracks, goal in zip(rollouts, goals, strict=True)]
        away.append(np.nanmean(np.concatenate([np.linalg.norm(end, axis=-1).ravel() for end in ends])))
    assert away[1] < 2 / 3 * away[0]
