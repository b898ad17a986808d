"""Goals of rollouts and logs, by track and by agent of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.agents.smart.generated_tokens import scene_tokens, small_network
from trafficgym.errors import ConfigError
from trafficgym.metrics.goals import goal_misses
from trafficgym_agents.algorithms.hindsight import goals_of_tracks, hindsight_goals, logged_goals
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.simulation import simulate
from trafficgym_scenarios.nominal import nominal_scene


def test_goals_are_where_the_best_rollout_ended() -> None:
    """And with them as goals, that rollout misses none."""
    rollouts = np.random.default_rng(0).normal(size=(3, 4, 80, 4)).astype(np.float32) * 50
    goals = hindsight_goals(rollouts, np.array([0.4, 0.7, np.nan]))
    np.testing.assert_array_equal(goals, rollouts[1, :, -1, :2])
    found = goal_misses(rollouts, goals, np.ones(4, bool), criterion="hard")
    assert not found.missed[1].any() and found.missed[[0, 2]].all()
    with pytest.raises(ConfigError, match="and R scores"):
        hindsight_goals(rollouts, np.zeros(2))
    with pytest.raises(ConfigError, match="and R scores"):
        hindsight_goals(rollouts, np.full(3, np.nan))


def test_from_tracks_to_agents() -> None:
    """In generated scenes, everybody's log ends where its last token's slot does."""
    scenes = [nominal_scene(seed) for seed in (0, 3)]
    tokens = [scene_tokens(seed) for seed in (0, 3)]
    batch = Batch.of(tokens)
    batch = batch.with_goals(goals_of_tracks(tokens, [logged_goals(scene) for scene in scenes]))
    there = batch.agents.has_goal & batch.agents.raw_valid[:, -1]
    assert there.any()
    assert torch.equal(batch.agents.goal[there], batch.agents.raw_xy[there, -1])


def test_simulations_have_goals() -> None:
    """Those of tracks; a network that takes none goes where it would go without."""
    scene, tokens = nominal_scene(0), scene_tokens(0)
    goals = [logged_goals(scene)]
    ways = []
    for network in (small_network(), small_network(goal="concatenation")):
        ways += [
            next(simulate(network, [scene], [tokens], Sampling(top_k=None), num=1, goals=g)) for g in (None, goals)
        ]
    np.testing.assert_array_equal(ways[0], ways[1])
    assert not np.array_equal(ways[2], ways[3])
