"""CAT-K, RoaD and on-policy sampling are settings of one method; identities between them (METHODS.md B, C)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.smart.generated_tokens import scene_tokens, small_network, with_gaps
from tests.agents.smart.small_vocabulary import VEHICLE
from trafficgym.errors import ConfigError
from trafficgym_agents.algorithms.behaviour_cloning import imitation_loss
from trafficgym_agents.algorithms.closed_loop import CATK, ROAD, ClosedLoop, freeze, visit
from trafficgym_agents.algorithms.cross_entropy import cross_entropy
from trafficgym_agents.policies.smart.batch import AgentBatch, Batch
from trafficgym_agents.policies.smart.decoding import Decision, roll_out
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.sampling import GREEDY, Sampling
from trafficgym_agents.policies.smart.targets import distances_to_log, recovery_tokens

Tensor = Any


@pytest.fixture(scope="module")
def network() -> SmartNetwork:
    return small_network()


@pytest.fixture(scope="module")
def batch() -> Batch:
    """The log of every agent is there to the end."""
    return Batch.of([scene_tokens(0)])


@pytest.fixture(scope="module")
def interrupted() -> Batch:
    """A third of the log's slots is missing, and of its steps."""
    scene = with_gaps(scene_tokens(0))
    agents = scene.agents
    rng = np.random.default_rng(3)
    raw_valid, path_valid = (rng.random(v.shape) < 0.7 for v in (agents.raw_valid, agents.path_valid))
    path_valid[:, 5::5] = raw_valid
    return Batch.of([replace(scene, agents=replace(agents, raw_valid=raw_valid, path_valid=path_valid))])


def drive(network: SmartNetwork, batch: Batch, choose: Any, seed: int = 0) -> AgentBatch:
    return roll_out(network, batch, choose, rngs=[np.random.default_rng(seed)]).agents


def method(selector: Any, **options: Any) -> ClosedLoop:
    return ClosedLoop(selector=selector, **options)


# --- identities -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["executed", "recovery"])
def test_the_closest_of_all_is_behaviour_cloning(network: SmartNetwork, batch: Batch, target: Any) -> None:
    """RoaD of endless K: the log is followed with the tokens that it is tokenised with, so that losses agree."""
    visited = visit(network, batch, method("all_closest", target=target), [np.random.default_rng(0)])
    assert torch.equal(visited.agents.token, batch.agents.token)
    torch.testing.assert_close(visited.agents.xy, batch.agents.xy, rtol=0, atol=1e-3)
    with torch.no_grad():
        found, want = (imitation_loss(network, b, target=target) for b in (visited, batch))
    assert found.count == want.count > 100
    torch.testing.assert_close(found.mean, want.mean, rtol=0, atol=1e-4)


def test_all_are_the_k_likeliest_of_the_largest_class(network: SmartNetwork, interrupted: Batch) -> None:
    """k may be as large as it likes; classes with fewer tokens offer those that they have."""
    found, want = (drive(network, interrupted, m) for m in (method("topk_closest", k=99), method("all_closest")))
    assert torch.equal(found.token, want.token)
    sizes = torch.tensor(network.vocabulary.sizes)[found.type]
    assert (found.token < sizes[:, None]).all()


def test_the_closest_of_one_is_greedy(network: SmartNetwork, batch: Batch) -> None:
    found, want = (drive(network, batch, choose).token for choose in (method("topk_closest", k=1), GREEDY))
    assert torch.equal(found, want)


def test_the_closest_of_one_sample_is_a_sample(network: SmartNetwork, batch: Batch) -> None:
    """From the same generator, the very same."""
    sampling = Sampling(top_k=3, temperature=2.0)
    settings = method("samplek_closest", k=1, sampling=sampling), method("sample", sampling=sampling), sampling
    one, other, plain = (drive(network, batch, choose, seed=4).token for choose in settings)
    assert torch.equal(one, other) and torch.equal(one, plain)


def test_many_samples_offer_the_whole_support(network: SmartNetwork, batch: Batch) -> None:
    """RoaD with so many samples that each of the three likeliest is among them is CAT-K with k = 3.

    At this temperature no token has a probability under 0.1: all are among 400 but for one in 10^17.
    """
    sampling = Sampling(top_k=3, temperature=20.0)
    found = drive(network, batch, method("samplek_closest", k=400, sampling=sampling)).token
    assert torch.equal(found, drive(network, batch, method("topk_closest", k=3)).token)
    few = drive(network, batch, method("samplek_closest", k=2, sampling=sampling)).token
    assert not torch.equal(found, few)


def test_where_the_log_is_not_there(network: SmartNetwork, interrupted: Batch) -> None:
    """The likeliest token, or the first sample."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def watch(choose: ClosedLoop) -> Any:
        def chosen(decision: Decision) -> Tensor:
            found = choose(decision)
            there = decision.agents.path_valid[:, 5 * decision.slot + 5]
            seen.append((found, decision.logits, there))
            return found

        return chosen

    drive(network, interrupted, watch(CATK))
    absent = [(found[~there], logits[~there].argmax(-1)) for found, logits, there in seen]
    assert sum(len(found) for found, _ in absent) > 20
    assert all(torch.equal(found, likeliest) for found, likeliest in absent)
    lonely = replace(interrupted.agents, path_valid=torch.zeros_like(interrupted.agents.path_valid))
    alone = replace(interrupted, agents=lonely)
    k_samples = drive(network, alone, method("samplek_closest", k=1, sampling=Sampling(top_k=None)))
    assert torch.equal(k_samples.token, drive(network, alone, Sampling(top_k=None)).token)


def test_the_nearest_of_what_is_offered(network: SmartNetwork, batch: Batch) -> None:
    """No other of the k likeliest leads nearer to the log: looked at one by one."""

    def checked(decision: Decision) -> Tensor:
        found = nearest_of_two(decision)
        here = decision.agents.moved_to(decision.slot - 1, decision.xy, decision.yaw)
        offered = decision.logits.topk(2).indices
        away, _ = distances_to_log(network, here, decision.slot, offered)
        own, _ = distances_to_log(network, here, decision.slot, found[:, None])
        assert (own[:, 0] == away.amin(1)).all() and (offered == found[:, None]).any(1).all()
        return found

    nearest_of_two = method("topk_closest", k=2)
    drive(network, batch, checked)


def test_on_policy_targets_teach_nothing_on_average(network: SmartNetwork, batch: Batch) -> None:
    """K = 1 with executed targets: the expectation of the gradient is 0, by enumeration over one decision.

    So that the choice by the log is the whole of what RoaD learns from: with it, the gradient is not 0.
    """
    agents = batch.agents
    nodes = network(batch)
    rows = (nodes.slot == 5) & (agents.type[nodes.agent] == 0)
    logits, agent = nodes.logits[rows], nodes.agent[rows]
    type, probability = agents.type[agent], logits.detach().softmax(-1)
    parameters = [p for p in network.parameters() if p.requires_grad]

    def gradient(weights: Tensor) -> Tensor:
        """Of the losses of all tokens, weighted by how often each is executed, ``[n, V]``."""
        tokens = range(logits.shape[1])
        losses = [cross_entropy(network, logits, torch.full_like(agent, token), type) for token in tokens]
        loss = (weights * torch.stack(losses, 1)).sum()
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        return torch.cat([g.flatten() for g in found if g is not None])

    guided = torch.zeros_like(probability).scatter_(
        1, recovery_tokens(network, agents, agent, nodes.slot[rows])[:, None], 1.0
    )
    assert gradient(probability).norm() < 1e-5 * gradient(guided).norm()


def test_refresh() -> None:
    """Always, every second epoch, once."""
    epochs = range(5)
    assert [CATK.is_fresh(e) for e in epochs] == [True] * 5
    assert [replace(ROAD, refresh=2).is_fresh(e) for e in epochs] == [True, False, True, False, True]
    assert [replace(ROAD, refresh=None).is_fresh(e) for e in epochs] == [True, False, False, False, False]


def test_presets() -> None:
    """METHODS.md B.1 to B.5 and C."""
    assert (CATK.selector, CATK.k, CATK.target, CATK.refresh) == ("topk_closest", 32, "recovery", 1)
    assert (ROAD.selector, ROAD.k, ROAD.target) == ("samplek_closest", 64, "executed")


# --- distances --------------------------------------------------------------------------------------------------------


def standing(batch: Batch, log: Any) -> AgentBatch:
    """One vehicle at the origin in slot 1, whose log is at `log` k (m, m, rad) k steps of 0.1 s later."""
    given = {f.name: getattr(batch.agents, f.name) for f in fields(AgentBatch)}
    one = AgentBatch(**{name: value[:1].clone() for name, value in given.items() if value is not None})
    path = torch.zeros_like(one.path)
    path[0, 11:16] = torch.arange(1, 6)[:, None] * torch.tensor(log)
    here = replace(one, type=torch.tensor([0]), path=path, path_valid=torch.ones_like(one.path_valid))
    return here.moved_to(1, torch.zeros(1, 2), torch.zeros(1))


def test_distance_along_the_way(network: SmartNetwork, batch: Batch) -> None:
    """Tokens glide 0, 4 and 5 m straight on; the log goes 1 m a step: d_k is k (1 - 0), k (1 - 0.8), 0."""
    agents, tokens = standing(batch, [1.0, 0.0, 0.0]), torch.tensor([[0, 1, 2]])
    assert VEHICLE[:3] == ((0.0, 0.0, 0.0), (4.0, 0.0, 0.0), (5.0, 0.0, 0.0))
    found, there = distances_to_log(network, agents, 2, tokens)
    torch.testing.assert_close(found, torch.tensor([[5.0, 1.0, 0.0]]), rtol=0, atol=1e-5)
    weights = (0.1, 0.2, 0.3, 0.0, 0.5)
    found, there = distances_to_log(network, agents, 2, tokens, weights)
    per_metre = 0.1 * 1 + 0.2 * 2 + 0.3 * 3 + 0.5 * 5
    torch.testing.assert_close(found, torch.tensor([[per_metre, 0.2 * per_metre, 0.0]]), rtol=0, atol=1e-5)
    assert there.tolist() == [True]


def test_distance_of_corners(network: SmartNetwork, batch: Batch) -> None:
    """A log that turns on the spot by t moves every corner by 2 sin(t / 2) times half the diagonal of 4.8 m by 2 m."""
    found, _ = distances_to_log(network, standing(batch, [0.0, 0.0, 0.1]), 2, torch.tensor([[0]]))
    want = 2 * np.sin(0.25) * np.hypot(2.4, 1.0)
    torch.testing.assert_close(found, torch.tensor([[want]], dtype=torch.float32), rtol=0, atol=1e-5)


def test_distance_moves_with_the_scene(network: SmartNetwork, batch: Batch) -> None:
    agents, tokens = batch.agents, torch.arange(5).expand(len(batch.agents), -1) % 2
    want, _ = distances_to_log(network, agents, 4, tokens)
    turn = 1.0
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float32)
    path = torch.cat([agents.path[..., :2] @ matrix + 50, agents.path[..., 2:] + turn], -1)
    moved = replace(agents, path=path).moved_to(3, agents.xy[:, 3] @ matrix + 50, agents.yaw[:, 3] + turn)
    torch.testing.assert_close(distances_to_log(network, moved, 4, tokens)[0], want, rtol=0, atol=1e-3)


def test_distance_needs_the_steps_that_count(network: SmartNetwork, batch: Batch) -> None:
    agents = standing(batch, [1.0, 0.0, 0.0])
    agents.path_valid[0, 12] = False  # 0.2 s on
    for weights, want in (((0.0, 0.0, 0.0, 0.0, 1.0), True), ((0.0, 1.0, 0.0, 0.0, 0.0), False), ((0.2,) * 5, False)):
        assert distances_to_log(network, agents, 2, torch.tensor([[0]]), weights)[1].tolist() == [want]


def test_weights_change_the_choice(network: SmartNetwork, batch: Batch) -> None:
    """A log that is quick at first and then stands: early steps ask for 5 m, the end for 0 m."""
    agents = standing(batch, [0.0, 0.0, 0.0])
    agents.path[0, 11] = torch.tensor([1.0, 0.0, 0.0])
    decision = Decision(
        logits=torch.zeros((1, 5)),
        slot=2,
        agents=agents,
        xy=torch.zeros(1, 2),
        yaw=torch.zeros(1),
        network=network,
        rngs=[np.random.default_rng(0)],
    )
    chosen = {
        w: method("all_closest", distance_weights=w)(decision).item() for w in ((1.0, 0, 0, 0, 0), (0, 0, 0, 0, 1.0))
    }
    assert list(chosen.values()) == [2, 0]


# --- parameters and settings ------------------------------------------------------------------------------------------


def test_freeze() -> None:
    """The map encoder and all embeddings stay as they are; attention and head are returned, to be trained."""
    network = small_network()
    trained = freeze(network)
    kinds = {name.split(".")[1] for name, p in network.named_parameters() if p.requires_grad}
    assert kinds >= {"t_attn_layers", "pt2a_attn_layers", "a2a_attn_layers", "token_predict_head"}
    assert not any(
        name.startswith("map_encoder") or "emb" in name for name, p in network.named_parameters() if p.requires_grad
    )
    assert {id(p) for p in trained} == {id(p) for p in network.parameters() if p.requires_grad}
    imitation_loss(network, Batch.of([scene_tokens(0)])).mean.backward()
    assert all((p.grad is not None) == p.requires_grad for p in network.parameters())
    assert len(freeze(network, ())) == len(list(network.parameters()))  # nothing is frozen any more


def test_visiting_leaves_the_network_as_it_was(network: SmartNetwork, batch: Batch) -> None:
    """Rollouts have no dropout and no gradient; mode and weights are those of before."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    one, other = (visit(network, batch, CATK, [np.random.default_rng(0)]).agents for _ in range(2))
    assert network.training and torch.equal(one.token, other.token) and not one.xy.requires_grad
    network.eval()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(one.raw_xy, batch.agents.raw_xy) and torch.equal(one.learns, batch.agents.learns)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"selector": "topk"}, "selector is 'topk'; it is one of 'sample', 'topk_closest'"),
        ({"target": "log"}, "target is 'log'"),
        ({"k": 0}, "k is 0"),
        ({"refresh": 0}, "refresh is 0"),
        ({"distance_weights": (0.0,) * 5}, "distance_weights"),
        ({"distance_weights": (1.0, 0.0, 0.0, 0.0, -1.0)}, "distance_weights"),
        ({"selecter": "sample"}, "did you mean 'selector'"),
    ],
)
def test_bad_settings(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        ClosedLoop(**options)
