"""Scores without each rollout, against scoring the others anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.metrics.wosac.golden import CASES, Case, realism
from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError
from trafficgym.metrics.wosac import CONFIGS, Realism, WosacConfig
from trafficgym.metrics.wosac.config import FeatureConfig
from trafficgym.scene.scene import AgentType, Scene

ROUNDING = 1e-14
"""Of some hundred float64 operations on numbers of about 1."""


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Four agents, of which one is a pedestrian, that the log loses for a while."""
    made = make_scene(num_agents=4)
    valid = made.tracks.valid.copy()
    valid[1, 40:60] = False
    kinds = np.array([AgentType.VEHICLE, AgentType.PEDESTRIAN, AgentType.VEHICLE, AgentType.CYCLIST], np.int8)
    return replace(
        made, tracks=replace(made.tracks, type=kinds, valid=valid, to_predict=np.array([False, True, True, False]))
    )


def make_rollouts(scene: Scene, num: int, *, num_steps: int = 80, seed: int = 0) -> NDArray[np.float64]:
    """The log at other speeds, drifting off, ``[num, A, num_steps, 4]``."""
    rng, tracks = np.random.default_rng(seed), scene.tracks
    log = np.stack([tracks.x, tracks.y, tracks.z, tracks.yaw], axis=-1)[None, :, 91 - num_steps :].astype(np.float64)
    ramp = np.linspace(0, 1, num_steps)[:, None]
    noise = rng.normal(0, 1, (num, scene.num_agents, 1, 4)) * [8.0, 2.0, 0.1, 0.5] * ramp
    return log + noise + rng.normal(0, 0.02, noise.shape)


def check(scene: Scene, config: str | WosacConfig, rollouts: NDArray) -> None:
    realism = Realism(scene, config)
    found = realism.leave_one_out(rollouts)
    whole = realism.score(rollouts)
    assert found.score.as_dict() == whole.as_dict()
    for i in range(len(rollouts)):
        naive = realism.score(np.delete(rollouts, i, axis=0))
        assert found.metametric[i] == pytest.approx(naive.metametric, abs=ROUNDING, rel=0)
        assert set(found.likelihoods) == set(naive.likelihoods)
        for name, value in naive.likelihoods.items():
            assert found.likelihoods[name][i] == pytest.approx(value, abs=ROUNDING, rel=0), name
        of_agents = naive.likelihoods_of_agents()
        weights = {name: realism.config.features[name].weight for name in of_agents}
        for e in range(len(naive.ids)):
            counted = [name for name in of_agents if np.isfinite(of_agents[name][e])]
            mean = sum(weights[name] * of_agents[name][e] for name in counted) / sum(weights[name] for name in counted)
            total = sum(feature.weight for feature in realism.config.features.values())
            assert found.agents[i, e] == pytest.approx(total * mean, abs=ROUNDING, rel=0)


@pytest.mark.parametrize("config", [*CONFIGS])
@pytest.mark.parametrize("num", [2, 7])
def test_equals_scoring_the_others(scene: Scene, config: str, num: int) -> None:
    check(scene, config, make_rollouts(scene, num, num_steps=CONFIGS[config].num_steps))


@pytest.mark.parametrize("aggregate_objects", [False, True])
@pytest.mark.parametrize("independent_timesteps", [False, True])
def test_equals_scoring_the_others_whatever_shares_a_histogram(
    scene: Scene, aggregate_objects: bool, independent_timesteps: bool
) -> None:
    features: dict[str, FeatureConfig] = {
        name: replace(one, aggregate_objects=aggregate_objects, independent_timesteps=independent_timesteps)
        for name, one in CONFIGS["2025"].features.items()
    }
    config = replace(CONFIGS["2025"], name="own", features=features)
    check(scene, config, make_rollouts(scene, 3))


def test_32_rollouts(scene: Scene) -> None:
    check(scene, "2025", make_rollouts(scene, 32))


def test_what_rollouts_add_sums_to_zero(scene: Scene) -> None:
    found = Realism(scene).leave_one_out(make_rollouts(scene, 16))
    assert abs(found.marginal.sum()) < ROUNDING * 16
    assert np.abs(found.marginal_of_agents.sum(0)).max() < ROUNDING * 16
    assert found.marginal.std() > 1e-4
    assert found.marginal_of_agents.shape == (16, 3)


def test_the_better_of_two_adds_more(scene: Scene) -> None:
    rollouts = make_rollouts(scene, 2)
    realism = Realism(scene)
    tracks = scene.tracks
    rollouts[1] = np.stack([tracks.x, tracks.y, tracks.z, tracks.yaw], axis=-1)[:, 11:]
    alone, _ = realism.single(rollouts)
    assert alone[1] > alone[0]
    found = realism.leave_one_out(rollouts)
    assert found.metametric == pytest.approx(alone[::-1], abs=ROUNDING)  # without one of two the other is alone
    assert found.marginal[1] > 0 > found.marginal[0]


def test_single_rollouts(scene: Scene) -> None:
    rollouts = make_rollouts(scene, 3)
    realism = Realism(scene)
    alone, agents = realism.single(rollouts)
    for i in range(3):
        assert alone[i] == pytest.approx(realism.score(rollouts[i : i + 1]).metametric, abs=ROUNDING)
    assert agents.shape == (3, 3)


def test_the_order_of_rollouts_does_not_matter(scene: Scene) -> None:
    rollouts, order = make_rollouts(scene, 6), np.array([3, 1, 5, 0, 2, 4])
    realism = Realism(scene)
    straight, mixed = realism.leave_one_out(rollouts), realism.leave_one_out(rollouts[order])
    assert np.array_equal(mixed.metametric, straight.metametric[order])
    assert np.array_equal(mixed.agents, straight.agents[order])
    assert mixed.score.metametric == straight.score.metametric


def test_one_rollout_leaves_none(scene: Scene) -> None:
    with pytest.raises(ConfigError, match=r"'made': leaving one of 1 .* at least 2"):
        Realism(scene).leave_one_out(make_rollouts(scene, 1))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorded_scenes(case: Case) -> None:
    ours, rollouts = realism(case.scene_id), case.all_rollouts
    found = ours.leave_one_out(rollouts, case.ids, frame="source")
    for i in (0, 13, 31):
        naive = ours.score(np.delete(rollouts, i, axis=0), case.ids, frame="source")
        assert found.metametric[i] == pytest.approx(naive.metametric, abs=ROUNDING, rel=0)
