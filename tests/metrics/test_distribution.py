from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.metrics.make_rollout import drive, replay
from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError
from trafficgym.metrics import Bins, compare_features, histograms, jensen_shannon
from trafficgym.scene.scene import AgentType, RoadMap

LN2 = np.log(2)


def simulated_feature(rollout, name):
    return compare_features(rollout)[name][0]


def test_speed_and_acceleration_of_a_braking_car():
    rollout = drive({"x": 0, "vx": 20})
    time = 0.1 * np.arange(81)
    braking = replace(rollout, x=(20 * time - time**2)[None].astype(np.float32))  # 2 m/s^2
    speed, known = simulated_feature(braking, "speed")
    assert known[0, 1:-1].all()
    assert not known[0, [0, -1]].any()
    assert speed[0, 1:-1] == pytest.approx(20 - 2 * time[1:-1], abs=1e-3)
    acceleration, known = simulated_feature(braking, "acceleration")
    assert known.sum() == 77
    assert acceleration[known] == pytest.approx(-2, abs=1e-2)


def test_lateral_offset_is_positive_to_the_left_of_the_nearest_lane():
    offset, known = simulated_feature(drive({"x": 20, "y": 0.5, "vx": 10}), "lateral_offset")
    assert known.all()
    assert offset == pytest.approx(0.5, abs=1e-4)
    offset, _ = simulated_feature(drive({"x": 20, "y": 2.5, "vx": 10}), "lateral_offset")  # nearer to the lane at 3.5
    assert offset == pytest.approx(-1.0, abs=1e-4)


def test_lateral_offset_is_undefined_far_from_lanes_and_without_a_map():
    _, known = simulated_feature(drive({"x": 20, "y": 60, "vx": 10}), "lateral_offset")
    assert not known.any()
    rollout = drive({"x": 20, "vx": 10})
    scene = replace(
        rollout.scene, road=RoadMap.empty(), signals=replace(rollout.scene.signals, lane=np.array([-1], np.int32))
    )
    _, known = simulated_feature(replace(rollout, scene=scene), "lateral_offset")
    assert not known.any()


def test_lead_distance_is_the_gap_between_bumpers():
    gap, known = simulated_feature(drive({"x": 0, "vx": 10}, {"x": 24, "vx": 10}, {"x": 44, "vx": 10}), "lead_distance")
    assert known[:, 0].tolist() == [True, True, False]
    assert gap[:2, 0] == pytest.approx([20, 16])


@pytest.mark.parametrize(
    "other",
    [
        {"x": -24, "vx": 10},  # behind
        {"x": 24, "y": 3.5, "vx": 10},  # next lane
        {"x": 24, "vx": -10, "yaw": -np.pi},  # oncoming
        {"x": 24, "vy": 10, "yaw": np.pi / 2},  # crossing
        {"x": 24, "vx": 10, "z": 6},  # on a bridge
        {"x": 90, "vx": 10},  # too far
    ],
)
def test_no_lead(other):
    _, known = simulated_feature(drive({"x": 0, "vx": 10}, other, num_steps=3), "lead_distance")
    assert not known[0].any()


def test_lane_features_are_of_vehicles_only():
    scene = make_scene()
    rollout = replay(replace(scene, tracks=replace(scene.tracks, type=np.full(3, AgentType.PEDESTRIAN, np.int8))))
    assert not simulated_feature(rollout, "lateral_offset")[1].any()
    assert simulated_feature(rollout, "speed")[1].any()


def test_replay_has_the_same_histograms_as_the_log():
    for name, counts in histograms(replay()).items():
        assert counts[0].tolist() == counts[1].tolist(), name
        assert jensen_shannon(*counts) == 0


def test_both_sides_are_over_the_same_agent_steps():
    log = replay()
    valid = log.scene.tracks.valid.copy()
    valid[0, 20:] = False
    scene = replace(log.scene, tracks=replace(log.scene.tracks, valid=valid))
    counts = histograms(replace(log, scene=scene))["speed"]
    assert counts[0].sum() - counts[1].sum() == 1  # the log's last step has no step after it to differentiate with


def test_values_beyond_the_range_fall_into_the_outermost_bins():
    assert Bins(low=0, high=2, num=2).count(np.array([-7.0, 0.5, 1.5, 99.0])).tolist() == [2, 2]
    with pytest.raises(ConfigError, match="low < high"):
        Bins(low=1, high=1, num=3)


def test_divergence_of_known_histograms():
    assert jensen_shannon(np.array([1, 0]), np.array([0, 5])) == pytest.approx(LN2)  # nothing in common
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4): H(m) - H(q)/2 in nats
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) - 0.5 * LN2
    assert jensen_shannon(np.array([2, 0]), np.array([1, 1])) == pytest.approx(expected)
    assert np.isnan(jensen_shannon(np.zeros(3), np.ones(3)))


counts = arrays(np.int64, 6, elements=st.integers(0, 50)).filter(lambda x: x.sum() > 0)


@given(counts, counts)
def test_divergence_is_the_square_of_scipys_distance(p, q):
    distance = pytest.importorskip("scipy.spatial.distance")
    assert jensen_shannon(p, q) == pytest.approx(distance.jensenshannon(p, q) ** 2, abs=1e-9)
    assert 0 <= jensen_shannon(p, q) <= LN2 + 1e-12
