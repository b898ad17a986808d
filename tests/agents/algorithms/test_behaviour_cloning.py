"""Who carries loss, and what the target is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.agents.smart.generated_tokens import scene_tokens, small_network, with_gaps
from trafficgym_agents.algorithms.behaviour_cloning import imitation_loss
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.tokens import AgentTokens, SceneTokens

Tensor = Any


@pytest.fixture(scope="module")
def network() -> SmartNetwork:
    return small_network()


@pytest.fixture(scope="module")
def tokens() -> SceneTokens:
    """Five agents learn; where the log is not there, nobody does."""
    scene = with_gaps(scene_tokens(0))
    agents = scene.agents
    raw_valid = np.random.default_rng(1).random(agents.raw_valid.shape) < 0.8
    return replace(scene, agents=replace(agents, raw_valid=raw_valid, learns=np.arange(len(agents)) < 5))


def counted(agents: AgentTokens) -> int:
    """Slots 1 to 16 that are valid, and whose log is there a slot later."""
    return int((agents.valid[:, 1:17] & agents.raw_valid[:, 2:18])[agents.learns].sum())


def test_who_counts(network: SmartNetwork, tokens: SceneTokens) -> None:
    """Those that learn, or everybody; the mean is over nodes of all scenes."""
    everybody = replace(tokens, agents=replace(tokens.agents, learns=np.ones(len(tokens.agents), bool)))
    other = replace(tokens, agents=replace(tokens.agents, learns=np.arange(len(tokens.agents)) == 9))
    batch = Batch.of([tokens])
    with torch.no_grad():
        one, all_ = imitation_loss(network, batch), imitation_loss(network, batch, everybody=True)
        assert one.count == counted(tokens.agents) and all_.count == counted(everybody.agents)
        torch.testing.assert_close(imitation_loss(network, Batch.of([everybody])).total, all_.total)
        both, second = imitation_loss(network, Batch.of([tokens, other])), imitation_loss(network, Batch.of([other]))
    assert both.count == one.count + second.count and both.hits == one.hits + second.hits
    torch.testing.assert_close(both.total, one.total + second.total)
    torch.testing.assert_close(both.mean, both.total / both.count)


def test_nobody_counts(network: SmartNetwork, tokens: SceneTokens) -> None:
    """A loss of 0 whose gradient is 0, not NaN."""
    nobody = replace(tokens, agents=replace(tokens.agents, learns=np.zeros(len(tokens.agents), bool)))
    loss = imitation_loss(network, Batch.of([nobody]))
    assert loss.count == 0 and loss.mean.item() == 0
    loss.mean.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients and all((g == 0).all() for g in gradients)
    network.zero_grad()


def test_the_executed_token_as_target(network: SmartNetwork, tokens: SceneTokens) -> None:
    """The loss is torch's, of the tokens that the batch itself has."""
    batch = Batch.of([tokens])
    with torch.no_grad():
        nodes, loss = network(batch), imitation_loss(network, batch, target="executed", everybody=True)
    raw_valid, token = batch.agents.raw_valid, batch.agents.token
    kept = (nodes.slot >= 1) & raw_valid[nodes.agent, nodes.slot + 1]
    logits, wanted = nodes.logits[kept], token[nodes.agent, nodes.slot + 1][kept]
    torch.testing.assert_close(loss.mean, functional.cross_entropy(logits, wanted))
    assert loss.hits == int((logits.argmax(-1) == wanted).sum())


def test_recovery_leads_back(network: SmartNetwork) -> None:
    """The log of a vehicle is 4.2 m ahead of where it is: of tokens that go 0, 4 and 5 m straight on, the second."""
    scene = scene_tokens(0)
    agents, k = scene.agents, int(np.flatnonzero(scene.agents.type == 0)[0])
    raw_valid = np.zeros(agents.raw_valid.shape, bool)
    raw_valid[k, 2] = True  # so that only slot 1 counts
    raw_xy, raw_yaw = agents.raw_xy.copy(), agents.raw_yaw.copy()
    raw_yaw[k, 2] = yaw = agents.yaw[k, 1]
    raw_xy[k, 2] = agents.xy[k, 1] + 4.2 * np.array([np.cos(yaw), np.sin(yaw)])
    batch = Batch.of([replace(scene, agents=replace(agents, raw_valid=raw_valid, raw_xy=raw_xy, raw_yaw=raw_yaw))])
    with torch.no_grad():
        nodes, loss = network(batch), imitation_loss(network, batch)
    row = (nodes.agent == k) & (nodes.slot == 1)
    assert loss.count == 1
    torch.testing.assert_close(loss.total, -nodes.logits[row].log_softmax(-1)[0, 1])


def test_everything_is_trained(network: SmartNetwork, tokens: SceneTokens) -> None:
    """The gradient is finite, and reaches all parameters."""
    loss = imitation_loss(network, Batch.of([tokens]), everybody=True)
    loss.mean.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
    network.zero_grad()
