"""Scenes at the edge of what there is: alone, without a map, crowded, empty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.smart.generated_tokens import small_network
from tests.agents.smart.small_vocabulary import small_vocabulary
from tests.scene.make_scene import make_scene
from trafficgym.errors import SceneError
from trafficgym.scene.scene import AgentType, RoadMap, Scene, Signals
from trafficgym_agents.algorithms.behaviour_cloning import imitation_loss
from trafficgym_agents.algorithms.closed_loop import CATK, visit
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.decoding import Decision, roll_out
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.tokens import SceneTokens


@pytest.fixture(scope="module")
def network() -> SmartNetwork:
    return small_network()


def tokens_of(scene: Scene) -> SceneTokens:
    return Tokenizer(small_vocabulary())(scene)


def without_map(scene: Scene) -> Scene:
    return replace(scene, road=RoadMap.empty(), signals=Signals.empty(scene.num_steps))


def crowd() -> SceneTokens:
    """500 vehicles, six metres apart."""
    tokens = tokens_of(make_scene(num_agents=500))
    return replace(tokens, agents=replace(tokens.agents, xy=tokens.agents.xy * np.float32(0.3)))


SCENES: dict[str, Any] = {
    "alone": lambda: tokens_of(make_scene(num_agents=1)),
    "without a map": lambda: tokens_of(without_map(make_scene())),
    "alone without a map": lambda: tokens_of(without_map(make_scene(num_agents=1))),
    "a crowd": crowd,
    "at its end": lambda: tokens_of(make_scene(num_steps=11)),  # no future at all
    "at its start": lambda: tokens_of(make_scene(current_step=0)),  # history is made up of its first step
}


@pytest.mark.parametrize("name", SCENES)
def test_driven_and_learned_from(network: SmartNetwork, name: str) -> None:
    """Everything is finite, everybody drives to the end, and gradients are finite, even where there is no loss."""
    tokens = SCENES[name]()
    batch, num = Batch.of([tokens]), len(tokens.agents)
    assert tokens.agents.valid[:, 1].all()
    rollouts = roll_out(network, batch, Sampling(), num=2, rngs=[np.random.default_rng(s) for s in (0, 1)])
    assert rollouts.steps.shape == (2 * num, 80, 3) and torch.isfinite(rollouts.steps).all()
    assert rollouts.agents.valid[:, 1:].all()
    assert (rollouts.agents.token < len(small_vocabulary().vehicle)).all()
    visited = visit(network, batch, CATK, [np.random.default_rng(0)])
    loss = imitation_loss(network, visited)
    assert loss.count == (visited.agents.valid[:, 1:-1] & visited.agents.raw_valid[:, 2:]).sum()
    loss.mean.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    network.zero_grad()


@pytest.mark.parametrize("training", [True, False])
def test_a_choice_that_fails(training: bool) -> None:
    """The network is in the mode it was in."""

    def choose(decision: Decision) -> Any:
        assert not decision.network.training
        raise KeyError("no choice")

    network = small_network().train(training)
    with pytest.raises(KeyError, match="no choice"):
        roll_out(network, Batch.of([SCENES["alone"]()]), choose, rngs=[np.random.default_rng(0)])
    assert network.training == training


def test_with_others_in_a_batch(network: SmartNetwork) -> None:
    """A scene without a map has a map token of its own, far away, and so takes nothing from its neighbours."""
    names = ("alone without a map", "alone", "without a map")
    scenes = [SCENES[name]() for name in names]
    with torch.no_grad():
        together = network(Batch.of(scenes)).logits
        alone = torch.cat([network(Batch.of([scene])).logits for scene in scenes])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_far_from_any_map(network: SmartNetwork) -> None:
    """An agent that has left the map sees what one without a map sees."""
    tokens, bare = tokens_of(make_scene(num_agents=1)), SCENES["alone without a map"]()
    far = replace(tokens.map, points=tokens.map.points + np.float32(5e3))
    with torch.no_grad():
        found, want = (network(Batch.of([scene])).logits for scene in (replace(tokens, map=far), bare))
    torch.testing.assert_close(found, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["nobody", "only others"])
def test_nobody_to_move(kind: str) -> None:
    """The message has the scene's id, and says what to do."""
    scene = make_scene(id="deserted")
    tracks = scene.tracks
    if kind == "nobody":
        valid = tracks.valid.copy()
        valid[:, scene.current_step] = False
        tracks = replace(tracks, valid=valid)
    else:
        tracks = replace(tracks, type=np.full_like(tracks.type, AgentType.OTHER))
    with pytest.raises(SceneError, match=r"'deserted' has no vehicle, pedestrian or cyclist.*leave it out"):
        tokens_of(replace(scene, tracks=tracks))
