"""What rollouts earn: identities between estimators, and cases that can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.metrics.wosac import Realism
from trafficgym.rewards.realism import rollout_rewards
from trafficgym_agents.algorithms.objective import Objective
from trafficgym_scenarios import nominal_scene

NUM = 4


@pytest.fixture(scope="module")
def realism() -> Realism:
    return Realism(nominal_scene(0))


@pytest.fixture(scope="module")
def rollouts(realism: Realism) -> NDArray[np.float32]:
    """The log as it is, and three times with every other object shifted to the side; once, two objects collide."""
    tracks, now = realism.scene.tracks, realism.scene.current_step
    log = np.stack([tracks.x, tracks.y, tracks.z, tracks.yaw], -1)[:, now + 1 : now + 81]
    found = np.repeat(log[None], NUM, 0).astype(np.float32)
    found[:, ::2, :, 1] += np.array([0.0, 1.0, 2.0, 6.0], np.float32)[:, None, None]
    one, other = realism.evaluated_tracks[-2:]
    found[2, one] = found[2, other]
    return found


TERMS = [{"rmm": 1.0}, {"min_ade": 1.0}, {"ade": 1.0}, {"collision": 1.0}, {"offroad": 1.0}]


@pytest.mark.parametrize("estimator", ["mloo", "rloo"])
@pytest.mark.parametrize("credit", ["scene", "agent"])
@pytest.mark.parametrize("term", TERMS)
def test_a_group_is_its_own_baseline(
    realism: Realism, rollouts: NDArray[np.float32], estimator: Any, credit: Any, term: dict[str, float]
) -> None:
    """Rewards sum to 0; two weights add up."""
    options: dict[str, Any] = {"estimator": estimator, "credit": credit}
    rewards = Objective(**{"rmm": 0.0} | term, **options)(realism, rollouts).rewards
    assert rewards.shape == ((NUM,) if credit == "scene" else (NUM, len(realism.evaluated)))
    np.testing.assert_allclose(rewards.sum(0), 0, atol=1e-12)
    assert np.abs(rewards).max() > 0
    both = Objective(**{"rmm": 0.5, "ade": 0.1} | {"estimator": estimator, "credit": credit})(realism, rollouts).rewards
    one = Objective(rmm=0.5, **options)(realism, rollouts).rewards
    two = Objective(rmm=0, ade=0.1, **options)(realism, rollouts).rewards
    np.testing.assert_allclose(both, one + two)


@pytest.mark.parametrize("estimator", ["mloo", "rloo"])
def test_realism_is_the_environments_reward(realism: Realism, rollouts: NDArray[np.float32], estimator: Any) -> None:
    found = Objective(estimator=estimator)(realism, rollouts)
    np.testing.assert_array_equal(found.rewards, rollout_rewards(realism, rollouts, kind=estimator))
    assert found.rewards[0] == found.rewards.max() > 0  # the log among worse ones
    assert found.score.metametric == realism.score(rollouts).metametric


@pytest.mark.parametrize("term", [{"ade": 1.0}, {"collision": 1.0}, {"offroad": 1.0}])
def test_estimators_of_means_differ_by_a_factor(
    realism: Realism, rollouts: NDArray[np.float32], term: dict[str, float]
) -> None:
    mloo = Objective(**{"rmm": 0.0} | term)(realism, rollouts).rewards
    rloo = Objective(**{"rmm": 0.0, "estimator": "rloo"} | term)(realism, rollouts).rewards  # type: ignore[arg-type]
    np.testing.assert_allclose(rloo, NUM * mloo)


def test_only_the_nearest_adds_to_the_smallest_displacement(realism: Realism, rollouts: NDArray[np.float32]) -> None:
    """Without the best of ADEs 0 < a < b < c the smallest is a; without another it stays 0."""
    rewards = Objective(rmm=0, min_ade=1)(realism, rollouts).rewards
    second = realism.features(rollouts).displacement_error.mean(-1)[1]
    np.testing.assert_allclose(rewards, [0.75 * second, *[-0.25 * second] * 3], rtol=1e-6)


def test_goals_are_for_those_who_have_them(realism: Realism, rollouts: NDArray[np.float32]) -> None:
    """Two of the evaluated have goals on the log: shifted by 1 m they are reached, by 6 m not, by 2 m just."""
    goals = np.full((realism.scene.num_agents, 2), np.nan)
    two = [track for track in realism.evaluated_tracks if track % 2 == 0][:2]
    goals[two] = rollouts[0, two, -1, :2]
    found = Objective(rmm=0, goal=1, criterion="hard", radius=2.5)(realism, rollouts, goals)
    assert found.reached is not None
    own = np.isin(realism.evaluated_tracks, two)
    assert found.reached[:, own].tolist() == [[True] * 2] * 3 + [[False] * 2] and not found.reached[:, ~own].any()
    np.testing.assert_allclose(found.rewards, [1 / 3] * 3 + [-1])
    with pytest.raises(ConfigError, match="no goals are given"):
        Objective(goal=1)(realism, rollouts)


@pytest.mark.parametrize("options", [{"estimator": "x"}, {"credit": "x"}, {"rmm": 0}, {"radius": 0}, {"criterion": ""}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Objective(**options)
