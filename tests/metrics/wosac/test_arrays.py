"""Rollouts as arrays: in which forms they may come, what is refused and in which words; configs and means."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError, SceneError
from trafficgym.metrics.wosac import (
    CONFIGS,
    FeatureConfig,
    Realism,
    SceneScore,
    WosacConfig,
    fill_gaps,
    find_config,
    mean_score,
)
from trafficgym.scene.scene import RoadMap, Scene, Signals


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Five vehicles with the ids 100 to 104, of which 102 is not there now."""
    made = make_scene(num_agents=5)
    valid = made.tracks.valid.copy()
    valid[2, 10] = False
    return replace(made, tracks=replace(made.tracks, valid=valid))


@pytest.fixture(scope="module")
def realism(scene: Scene) -> Realism:
    return Realism(scene)


@pytest.fixture(scope="module")
def rollouts(scene: Scene) -> NDArray[np.float64]:
    rng, tracks = np.random.default_rng(0), scene.tracks
    log = np.stack([tracks.x, tracks.y, tracks.z, tracks.yaw], axis=-1)[:, 11:].astype(np.float64)
    drift = rng.normal(0, 1, (4, 5, 1, 4)) * [3.0, 2.0, 0.1, 0.2] * np.linspace(0, 1, 80)[:, None]
    return log + drift


# --- forms ------------------------------------------------------------------------------------------------------------


def test_rows_of_tracks_that_are_not_there_are_not_read(realism: Realism, rollouts: NDArray) -> None:
    expected = realism.score(rollouts).as_dict()
    holed = rollouts.copy()
    holed[:, 2] = np.nan
    assert realism.score(holed).as_dict() == expected


def test_rows_may_be_named(realism: Realism, rollouts: NDArray) -> None:
    expected = realism.score(rollouts).as_dict()
    order = [3, 0, 4, 1]
    ids = [100 + row for row in order]
    assert realism.score(rollouts[:, order], ids).as_dict() == expected
    assert realism.score(rollouts[:, order], np.array(ids, np.int32)).as_dict() == expected
    more = np.concatenate([rollouts[:, order], np.full((4, 2, 80, 4), np.inf)], axis=1)
    assert realism.score(more, [*ids, 102, 7777]).as_dict() == expected
    assert realism.score(rollouts[:, realism.tracks], realism.ids).as_dict() == expected


def test_both_frames_and_both_precisions(scene: Scene, realism: Realism, rollouts: NDArray) -> None:
    expected = realism.score(rollouts).as_dict()
    moved = rollouts + np.array([*scene.origin, 0.0])
    assert realism.score(moved, frame="source").as_dict() == expected
    assert realism.score(moved.astype(np.float32), frame="source").as_dict() == expected
    single = realism.score(rollouts.astype(np.float32)).as_dict()
    assert single["metametric"] == pytest.approx(expected["metametric"], abs=2e-3)  # a sample may change bins
    assert single["average_displacement_error"] == pytest.approx(expected["average_displacement_error"], abs=1e-3)


def test_rollouts_are_not_changed(realism: Realism, rollouts: NDArray) -> None:
    before = rollouts.copy()
    realism.leave_one_out(rollouts)
    assert np.array_equal(rollouts, before)
    rollouts.setflags(write=False)
    realism.score(rollouts)
    realism.score(np.asfortranarray(rollouts))


def test_one_rollout(realism: Realism, rollouts: NDArray) -> None:
    score = realism.score(rollouts[:1])
    assert score.num_rollouts == 1 and 0 < score.metametric < 1
    assert score.min_ade == score.ade
    assert score.oracle is not None and score.oracle.num_rollouts == 1


def test_the_same_rollouts_twice_change_little(realism: Realism, rollouts: NDArray) -> None:
    """Histograms hold twice as much; only what is added to empty bins counts less."""
    once, twice = realism.score(rollouts), realism.score(np.concatenate([rollouts, rollouts]))
    assert twice.metametric == pytest.approx(once.metametric, abs=5e-3)
    assert twice.rates == pytest.approx(once.rates) and twice.ade == pytest.approx(once.ade)
    for name, counts in once.counts.items():
        assert np.array_equal(twice.counts[name], 2 * counts)


def test_the_order_of_rollouts_does_not_matter(realism: Realism, rollouts: NDArray) -> None:
    a, b = realism.score(rollouts), realism.score(rollouts[::-1])
    assert a.likelihoods == b.likelihoods and a.rates == b.rates
    assert a.ade == pytest.approx(b.ade)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "got"),
    [
        ((80, 4), "80, 4"),
        ((2, 5, 79, 4), "2, 5, 79"),
        ((2, 4, 80, 4), "2, 4"),
        ((2, 5, 80, 3), "2, 5, 80, 3"),
        ((0, 5, 80, 4), "0, 5"),
        ((), r"\)"),
    ],
)
@pytest.mark.parametrize("method", ["score", "features", "leave_one_out", "single"])
def test_wrong_shapes(realism: Realism, shape: tuple[int, ...], got: str, method: str) -> None:
    with pytest.raises(ConfigError, match=rf"'made': rollouts must be .* \(R, 5, 80, 4\), got \({got}"):
        getattr(realism, method)(np.zeros(shape))


def test_what_is_no_number(realism: Realism, rollouts: NDArray) -> None:
    for dtype in (complex, object, str):
        with pytest.raises(ConfigError, match="'made': rollouts must be real numbers, got"):
            realism.score(rollouts.astype(dtype))


def test_a_number_that_is_not_finite(realism: Realism, rollouts: NDArray) -> None:
    for value in (np.nan, np.inf):
        broken = rollouts.copy()
        broken[2, 3, 41, 1] = value
        with pytest.raises(ConfigError, match=r"'made': rollout 2, object 103, step 41 is not finite: .*fill_gaps"):
            realism.score(broken)
    too_large = rollouts.copy()
    too_large[1, 0, 0, 0] = 1e39  # infinite in float32
    with pytest.raises(ConfigError, match="rollout 1, object 100, step 0 is not finite"):
        realism.score(too_large)


def test_rows_that_are_missing_or_given_twice(realism: Realism, rollouts: NDArray) -> None:
    with pytest.raises(ConfigError, match=r"'made': no row for object 103 and 1 more; every object"):
        realism.score(rollouts[:, :2], [100, 101])
    with pytest.raises(ConfigError, match="no row for object 104; every"):
        realism.score(rollouts[:, [0, 1, 3]], [100, 101, 103])
    with pytest.raises(ConfigError, match="object 101 is given twice"):
        realism.score(rollouts, [100, 101, 101, 103, 104])
    with pytest.raises(ConfigError, match=r"\(R, 4, 80, 4\), got \(4, 5"):
        realism.score(rollouts, [100, 101, 103, 104])


def test_an_unknown_frame(realism: Realism, rollouts: NDArray) -> None:
    with pytest.raises(ConfigError, match="'world'; it is 'scene' or 'source'"):
        realism.score(rollouts, frame="world")  # type: ignore[arg-type]


def test_an_unknown_config(scene: Scene) -> None:
    with pytest.raises(ConfigError, match="'2025_sim_agent'; did you mean '2025"):
        Realism(scene, "2025_sim_agent")
    with pytest.raises(ConfigError, match="'2024_leaderbord'; did you mean '2024_leaderboard'"):
        find_config("2024_leaderbord")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 1.0, "low": 2.0, "high": 1.0}, "low < high"),
        ({"weight": 1.0, "bins": 0}, "bins >= 1"),
        ({"weight": 1.0, "pseudocount": 0.0}, "must be positive"),
        ({"weight": 1.0, "pseudo_count": 0.1}, "did you mean 'pseudocount'"),
    ],
)
def test_feature_configs_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureConfig(**options)


def test_configs_that_make_no_sense() -> None:
    one = FeatureConfig(weight=1.0)
    with pytest.raises(ConfigError, match="'colision_indication'; did you mean 'collision_indication'"):
        WosacConfig(name="own", features={"colision_indication": one})
    with pytest.raises(ConfigError, match="num_steps"):
        WosacConfig(name="own", features={}, num_steps=0)


# --- configs ----------------------------------------------------------------------------------------------------------


def test_weights_of_the_years() -> None:
    totals = {name: sum(one.weight for one in config.features.values()) for name, config in CONFIGS.items()}
    assert totals == pytest.approx({name: 0.99 if name == "2023" else 1.0 for name in CONFIGS})
    assert "traffic_light_violation" not in CONFIGS["2023"].features
    assert CONFIGS["2025"].features["traffic_light_violation"].weight == 0.05
    assert CONFIGS["2025"].features["distance_to_road_edge"].weight == 0.05


@pytest.mark.parametrize(
    ("name", "official"),
    [("2023", "2023"), ("2024", "2024"), ("2025", "2025_sim_agents"), ("2025_scenario_gen", "2025_scenario_gen")],
)
def test_configs_are_the_official_ones(name: str, official: str, data_root: Path) -> None:
    published = json.loads((data_root / "golden/wosac/configs.json").read_text())[official]
    ours = CONFIGS[name].features
    assert {feature for feature, one in ours.items() if one.weight > 0} == {
        feature for feature, one in published.items() if one["metametric_weight"] > 0
    }
    for feature, expected in published.items():
        one = ours[feature]
        assert one.weight == pytest.approx(expected["metametric_weight"])
        assert one.is_bernoulli == ("bernoulli" in expected)
        assert one.aggregate_objects == expected.get("aggregate_objects", False)
        if not one.is_bernoulli:
            histogram = expected["histogram"]
            assert (one.low, one.high, one.bins) == tuple(histogram[key] for key in ("min_val", "max_val", "num_bins"))
            assert one.pseudocount == histogram["additive_smoothing_pseudocount"]
            assert one.independent_timesteps == expected["independent_timesteps"]


def test_a_config_of_ones_own(scene: Scene, rollouts: NDArray) -> None:
    only = {"collision_indication": CONFIGS["2025"].features["collision_indication"]}
    config = WosacConfig(name="collisions", features=only)
    score = Realism(scene, config).score(rollouts)
    assert score.metametric == pytest.approx(0.25 * score.likelihoods["collision_indication"])
    assert score.config == "collisions" and np.isnan(score.buckets["kinematic"])
    assert score.as_dict()["kinematic_metrics"] is None
    json.dumps(score.as_dict(), allow_nan=False)


def test_scenario_generation() -> None:
    """All objects are evaluated, at all 91 steps, and share their histograms."""
    scene = make_scene(num_agents=4, speed=11.0)
    realism = Realism(scene, "2025_scenario_gen")
    assert realism.evaluated.tolist() == [100, 101, 102, 103]
    tracks = scene.tracks
    log = np.stack([tracks.x, tracks.y, tracks.z, tracks.yaw], axis=-1)
    score = realism.score(np.repeat(log[None], 2, axis=0))
    # All keep 11 m/s, in the fifth bin, but for the first and the last step, which have no speed.
    assert score.counts["linear_speed"].tolist() == [[0, 0, 0, 0, 2 * 4 * 89, 0, 0, 0, 0, 2 * 4 * 2]]
    assert score.likelihoods["linear_speed"] == pytest.approx((2 * 4 * 89 + 0.1) / (2 * 4 * 91 + 1))
    assert score.ade == 0
    with pytest.raises(ConfigError, match=r"\(R, 4, 91, 4\)"):
        realism.score(np.zeros((2, 4, 80, 4)))


# --- scores -----------------------------------------------------------------------------------------------------------


def test_likelihoods_come_from_those_of_steps(realism: Realism, rollouts: NDArray) -> None:
    score = realism.score(rollouts)
    for name, value in score.likelihoods.items():
        log_likelihood, counted = score.log_likelihood(name)
        assert np.exp(log_likelihood[counted].mean()) == pytest.approx(value)
        of_agents = score.likelihoods_of_agents()[name]
        assert of_agents == pytest.approx([np.exp(x[m].mean()) for x, m in zip(log_likelihood, counted, strict=True)])


def test_as_dict_is_json_with_the_official_names(realism: Realism, rollouts: NDArray) -> None:
    text = json.loads(json.dumps(realism.score(rollouts).as_dict(), allow_nan=False))
    assert {"scenario_id", "metametric", "linear_speed_likelihood", "simulated_collision_rate"} < set(text)
    assert {"min_average_displacement_error", "kinematic_metrics", "map_based_metrics"} < set(text)
    assert text["oracle"]["metametric"] > text["metametric"]
    assert set(text["agents"]) == {"100", "101"}


def without_edges(scene: Scene) -> Scene:
    signals = Signals.empty(scene.num_steps)
    return replace(scene, id="bare", road=RoadMap.empty(), signals=signals)


def test_means_leave_out_what_is_missing(scene: Scene, realism: Realism, rollouts: NDArray) -> None:
    with pytest.warns(UserWarning, match="'bare'"):
        bare = Realism(without_edges(scene))
    scores: list[SceneScore] = [realism.score(rollouts), realism.score(rollouts[::-1] + 0.1), bare.score(rollouts)]
    mean = mean_score(scores, CONFIGS["2025"])
    assert mean.num_scenes == 3 and mean.missing == ("distance_to_road_edge", "offroad_indication")
    assert mean.metametric == pytest.approx(np.mean([one.metametric for one in scores]))
    for name in ("offroad_indication", "linear_speed"):
        there = [one.likelihoods[name] for one in scores if name in one.likelihoods]
        assert mean.likelihoods[name] == pytest.approx(np.mean(there))
    off_road = [one.rates["offroad"] for one in scores[:2]]
    assert mean.rates["offroad"] == pytest.approx(np.mean(off_road)) and "offroad" not in scores[2].rates
    assert mean.oracle is not None and mean.oracle.num_scenes == 3


def test_means_of_what_does_not_compare(scene: Scene, realism: Realism, rollouts: NDArray) -> None:
    with pytest.raises(ConfigError, match="no score"):
        mean_score([], CONFIGS["2025"])
    scores = [realism.score(rollouts), realism.score(rollouts[:2])]
    with pytest.raises(ConfigError, match="do not compare"):
        mean_score(scores, CONFIGS["2025"])
    with pytest.raises(ConfigError, match="do not compare"):
        mean_score(scores[:1], CONFIGS["2024"])


# --- gaps -------------------------------------------------------------------------------------------------------------


def test_gaps_are_filled_at_constant_velocity() -> None:
    motion = np.zeros((1, 5, 6))
    motion[0, :, 0] = [0, 1, -99, -99, 7]
    motion[0, :, 2:] = [3.0, 0.5, 10.0, -5.0]
    motion[0, 2:4, 2:] = np.nan
    filled = fill_gaps(motion, np.array([[True, True, False, False, True]]))
    assert filled[0, :, 0].tolist() == [0, 1, 2, 3, 7]
    assert filled[0, :, 1] == pytest.approx([0, 0, -0.5, -1, 0])
    assert (filled[0, :, 2:] == [3.0, 0.5]).all()


def test_gaps_that_cannot_be_filled() -> None:
    with pytest.raises(ConfigError, match=r"object \[1\] is absent at its first step"):
        fill_gaps(np.zeros((2, 3, 6)), np.array([[True, True, True], [False, True, True]]))
    with pytest.raises(ConfigError, match=r"\[\.\.\., T, 6\]"):
        fill_gaps(np.zeros((2, 3, 4)), np.ones((2, 3), bool))


def test_a_log_with_gaps_is_its_own_oracle() -> None:
    """Who vanishes goes on as before: at constant speed the oracle does not differ from a log without a gap."""
    whole = make_scene(num_agents=2)
    valid = whole.tracks.valid.copy()
    valid[1, 30:] = False
    x = np.where(valid, whole.tracks.x, np.float32(-7))
    lost = replace(whole, tracks=replace(whole.tracks, valid=valid, x=x))
    a, b = Realism(whole).oracle(), Realism(lost).oracle()
    for name in a.counts:
        if name not in ("collision_indication", "offroad_indication"):
            assert np.abs(a.counts[name] - b.counts[name]).sum() <= 32 * 4, name  # rounding may move a step
    with pytest.raises(SceneError):
        Realism(replace(lost, current_step=30))
