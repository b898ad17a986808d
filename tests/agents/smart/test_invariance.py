"""What must make no difference to predictions: where the scene lies, the future, and who is computed together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.smart.generated_tokens import (
    in_general_position,
    moved,
    scene_tokens,
    small_network,
    with_gaps,
)
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.decoding import Decision, Decoder, roll_out
from trafficgym_agents.policies.smart.network import Nodes, SmartNetwork
from trafficgym_agents.policies.smart.sampling import GREEDY, Sampling
from trafficgym_agents.policies.smart.tokens import SceneTokens

Tensor = Any


@pytest.fixture(scope="module")
def tokens() -> SceneTokens:
    """Vehicles, pedestrians and cyclists; a third of the slots are not valid, so that agents come and go."""
    return with_gaps(in_general_position(scene_tokens(0)))


@pytest.fixture(scope="module")
def network() -> SmartNetwork:
    return small_network()


@torch.no_grad()
def predict(network: SmartNetwork, *scenes: SceneTokens) -> Nodes:
    return network(Batch.of(scenes))


def check_same(found: Tensor, want: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, want, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("angle", "shift"), [(0.7, (0.0, 0.0)), (0.0, (1000.0, -500.0)), (2.3, (-1000.0, 1000.0)), (-1.6, (3.0, 4.0))]
)
def test_elsewhere(tokens: SceneTokens, network: SmartNetwork, angle: float, shift: tuple[float, float]) -> None:
    """Rotated and translated, to the rounding of positions a kilometre away; with agents that appear late."""
    want = predict(network, tokens)
    assert want.logits[:, :2].std() > 0.1  # untrained as it is, it does tell situations apart
    check_same(predict(network, moved(tokens, angle, shift)).logits, want.logits, 1e-4)


@pytest.mark.parametrize("seed", [0, 2, 7])
def test_generated_scenes_elsewhere(network: SmartNetwork, seed: int) -> None:
    """As they are: roads run exactly straight or opposite ways, and pieces are exactly a radius apart."""
    tokens = scene_tokens(seed)
    want = predict(network, tokens).logits
    for angle, shift in ((0.7, (0.0, 0.0)), (2.3, (1000.0, -500.0))):
        check_same(predict(network, moved(tokens, angle, shift)).logits, want, 1e-4)


def test_the_quirk_sees_where_the_scene_lies(tokens: SceneTokens) -> None:
    """README section 6.1: the first motion of those that appear is their absolute position."""
    network = small_network(zero_fill_quirk=True)
    always = in_general_position(scene_tokens(0))
    nobody_appears = predict(network, moved(always, 0.7, (1000.0, -500.0))).logits
    check_same(nobody_appears, predict(network, always).logits, 1e-4)
    late = always.agents.valid.copy()
    late[3, 0] = False
    scene = replace(always, agents=replace(always.agents, valid=late))
    x, y = scene.agents.xy[3, 1].tolist()
    at_origin = moved(scene, 0.0, (1 - x, 1 - y))
    here, there = predict(network, scene), predict(network, at_origin)
    changed = (here.logits - there.logits).where(torch.isfinite(here.logits), 0.0).abs().amax(-1)
    assert changed[(here.agent == 3) & (here.slot == 1)] > 5e-4
    assert changed[here.slot == 0].max() < 1e-4
    ours = small_network()
    check_same(predict(ours, at_origin).logits, predict(ours, scene).logits, 1e-4)


@pytest.mark.parametrize("slot", [1, 7, 16])
def test_the_future_is_not_seen(tokens: SceneTokens, network: SmartNetwork, slot: int) -> None:
    """Another token of one agent in a slot changes no prediction before, and that agent's from then on."""
    agents = tokens.agents
    agent = int(np.flatnonzero(agents.valid[:, slot] & (agents.type == 0))[0])
    token, xy, yaw = agents.token.copy(), agents.xy.copy(), agents.yaw.copy()
    token[agent, slot] = (token[agent, slot] + 1) % 5
    xy[agent, slot] += 0.5
    yaw[agent, slot] += 0.1
    want = predict(network, tokens)
    found = predict(network, replace(tokens, agents=replace(agents, token=token, xy=xy, yaw=yaw)))
    earlier = want.slot < slot
    check_same(found.logits[earlier], want.logits[earlier], 1e-6)
    own = (want.agent == agent) & (want.slot == slot)
    assert (found.logits[own][:, :5] - want.logits[own][:, :5]).abs().max() > 1e-3


def test_the_last_slot_and_logs_are_not_seen(tokens: SceneTokens, network: SmartNetwork) -> None:
    """Nothing follows the last slot; raw poses and paths are for the loss."""
    agents, junk = tokens.agents, np.float32(7e3)
    xy, token = agents.xy.copy(), agents.token.copy()
    xy[:, -1], token[:, -1] = junk, 0
    changed = replace(agents, xy=xy, token=token, raw_xy=agents.raw_xy + junk, path=agents.path + junk)
    want = predict(network, tokens)
    assert torch.equal(predict(network, replace(tokens, agents=changed)).logits, want.logits)


def test_who_is_not_there_is_not_seen(tokens: SceneTokens, network: SmartNetwork) -> None:
    """Slots that are not valid may hold anything."""
    agents, gone = tokens.agents, ~tokens.agents.valid
    junk = replace(
        agents,
        xy=np.where(gone[..., None], np.float32(3.0), agents.xy),
        yaw=np.where(gone, np.float32(1.0), agents.yaw),
        token=np.where(gone, 1, agents.token),
    )
    assert torch.equal(predict(network, replace(tokens, agents=junk)).logits, predict(network, tokens).logits)


def test_a_batch_is_its_scenes(tokens: SceneTokens, network: SmartNetwork) -> None:
    scenes = [tokens, in_general_position(scene_tokens(3)), with_gaps(in_general_position(scene_tokens(3)))]
    found = predict(network, *scenes)
    first = 0
    for scene in scenes:
        alone = predict(network, scene)
        rows = (found.agent >= first) & (found.agent < first + len(scene.agents))
        assert torch.equal(found.agent[rows] - first, alone.agent) and torch.equal(found.slot[rows], alone.slot)
        check_same(found.logits[rows], alone.logits)
        first += len(scene.agents)
    assert first == len(torch.unique(found.agent))


@pytest.mark.parametrize("quirk", [False, True])
@pytest.mark.parametrize("rows", [0, 1024])
def test_slot_by_slot(tokens: SceneTokens, quirk: bool, rows: int) -> None:
    """What is kept of the past, while agents come and go, predicts what a pass over all slots predicts."""
    network = small_network(zero_fill_quirk=quirk, agent_layers=3, time_span=15)
    batch = Batch.of([tokens, in_general_position(scene_tokens(3))])
    agents, want = batch.agents, network(batch, table_rows=rows)
    with torch.no_grad():
        decoder = Decoder(network, batch, table_rows=rows)
        for slot in range(agents.token.shape[1] - 1):
            now = (values[:, slot] for values in (agents.token, agents.xy, agents.yaw, agents.valid))
            found, nodes = decoder.advance(agents, *now), want.slot == slot
            check_same(found[want.agent[nodes]], want.logits[nodes].detach())


def test_other_agents_from_some_slot_on(tokens: SceneTokens, network: SmartNetwork) -> None:
    """`repeat` goes on with any rows of the agents, each with its own past."""
    batch = Batch.of([tokens])
    agents, rows = batch.agents, torch.arange(len(batch.agents)).repeat(2)
    twice = agents.repeat(2)
    assert torch.equal(twice.xy, agents.xy[rows]) and twice.group.tolist() == sorted(twice.group.tolist())
    alone, both = (Decoder(network, batch) for _ in range(2))
    with torch.no_grad():
        for slot in range(6):
            if slot == 3:
                both.repeat(rows)
            who = agents if slot < 3 else twice
            now, then = ((a.token[:, slot], a.xy[:, slot], a.yaw[:, slot], a.valid[:, slot]) for a in (agents, who))
            want, found = alone.advance(agents, *now), both.advance(who, *then)
    valid = agents.valid[:, 5]
    for half in found.split(len(agents)):
        check_same(half[valid], want[valid])


def test_rollouts_of_one_scene(tokens: SceneTokens, network: SmartNetwork) -> None:
    """A rollout hangs on its own generator alone: not on how many there are, nor on other scenes."""
    sampling = Sampling(top_k=4)
    scenes = [tokens, in_general_position(scene_tokens(3))]

    def rngs(*seeds: int) -> list[np.random.Generator]:
        return [np.random.default_rng(seed) for seed in seeds]

    together = roll_out(network, Batch.of(scenes), sampling, num=3, rngs=rngs(*range(6))).agents
    tokens_seen = set()
    for seed in range(6):
        scene = scenes[seed // 3]
        alone = roll_out(network, Batch.of([scene]), sampling, rngs=rngs(seed)).agents
        rows = together.group == seed
        assert torch.equal(together.token[rows], alone.token)
        check_same(together.xy[rows], alone.xy, 1e-3)
        tokens_seen.add(alone.token.numpy().tobytes())
    assert len(tokens_seen) == 6


def test_rollouts_predict_from_what_they_did(tokens: SceneTokens, network: SmartNetwork) -> None:
    """The logits that were chosen from are those of teacher forcing on the executed tokens; agents stay to the end."""
    batch, seen = Batch.of([tokens]), list[Tensor]()

    def choose(decision: Decision) -> Tensor:
        seen.append(decision.logits)
        return Sampling(top_k=None)(decision)

    network.train()
    rollouts = roll_out(network, batch, choose, rngs=[np.random.default_rng(0)])
    assert network.training
    network.eval()
    agents = rollouts.agents
    assert torch.equal(agents.valid[:, 2:], agents.valid[:, 1:2].expand(-1, 16))
    assert torch.equal(agents.token[:, :2], batch.agents.token[:, :2])
    check_same(rollouts.steps[:, 4::5, :2], agents.xy[:, 2:], 0.0)
    with torch.no_grad():
        nodes = network(replace(batch, agents=agents), table_rows=1024)
    for slot in range(1, 17):
        rows = nodes.slot == slot
        check_same(seen[slot - 1][nodes.agent[rows]], nodes.logits[rows], 1e-4)


def test_greedy_needs_no_luck(tokens: SceneTokens, network: SmartNetwork) -> None:
    batch = Batch.of([tokens])
    one, other = (roll_out(network, batch, GREEDY, rngs=[np.random.default_rng(s)]).agents.token for s in (0, 1))
    assert torch.equal(one, other)
