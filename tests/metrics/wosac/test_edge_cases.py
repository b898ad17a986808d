"""Scenes that lack something, or hold something odd; every answer is worked out by hand."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.world.micro import Box, Light, Line, micro_scene, straight
from trafficgym.errors import SceneError
from trafficgym.metrics.wosac import Realism, SceneScore
from trafficgym.metrics.wosac.interaction import FAR
from trafficgym.metrics.wosac.road_edges import RoadEdges
from trafficgym.scene.scene import AgentType, RoadType, Scene, SignalState

STEPS = 91
NOW = 10
SOUTH = [(-200.0, -5.0), (400.0, -5.0)]  # runs east: the road is north of it
NORTH = [(400.0, 5.0), (-200.0, 5.0)]
EDGES: list[Line] = [SOUTH, NORTH]


def car(start: float, speed: float = 0.0, **options: Any) -> Box:
    return Box(**({"x": straight(start, speed, STEPS), "speed": speed} | options))


def make(*boxes: Box, edges: list[Line] = EDGES, **options: Any) -> Scene:
    return micro_scene(*boxes, edges=edges, num_steps=STEPS, current_step=NOW, **options)


def replay(scene: Scene, num: int = 1) -> NDArray[np.float32]:
    """The log, with whatever it holds where nobody is, ``[num, A, 80, 4]``."""
    tracks = scene.tracks
    log = np.stack([tracks.x, tracks.y, tracks.z, tracks.yaw], axis=-1)[:, NOW + 1 :]
    return np.repeat(log[None], num, axis=0)


def of_flag(score: SceneScore, feature: str) -> list[float]:
    """Probability of the logged flag of each object."""
    return np.exp(score.log_likelihood(feature)[0][:, 0]).tolist()


def seen(*gone: tuple[int, int]) -> list[bool]:
    """True but between the first and the second step of each pair."""
    valid = np.ones(STEPS, bool)
    for first, end in gone:
        valid[first:end] = False
    return valid.tolist()


# --- one score from end to end ----------------------------------------------------------------------------------------


def test_a_car_alone_at_constant_speed() -> None:
    """11 m/s is in the fifth of ten bins, and the last step, which has no speed, in the last."""
    scene = make(car(0, 11.0, sdc=True))
    realism = Realism(scene)
    score = realism.score(replay(scene))
    features = realism.log_features
    assert features.linear_speed[0, 0, :79] == pytest.approx(11, abs=1e-3) and np.isnan(features.linear_speed[0, 0, 79])
    assert np.isnan(features.linear_acceleration[0, 0, 78:]).all()
    assert (features.distance_to_nearest_object == FAR).all() and (features.time_to_collision == 5).all()
    assert features.distance_to_road_edge == pytest.approx(-4.0)  # its side, 1 m from its middle, is 4 m from the edge
    expected = {
        "linear_speed": 79.1 / 81,
        "linear_acceleration": 78.1 / 81.1,
        "angular_speed": 79.1 / 81.1,
        "angular_acceleration": 78.1 / 81.1,
        "distance_to_nearest_object": 80.1 / 81,
        "time_to_collision": 80.1 / 81,
        "distance_to_road_edge": 80.1 / 81,
        **dict.fromkeys(("collision_indication", "offroad_indication", "traffic_light_violation"), 1.001 / 1.002),
    }
    assert score.likelihoods == pytest.approx(expected)
    weights = {name: one.weight for name, one in realism.config.features.items()}
    assert score.metametric == pytest.approx(sum(weights[name] * expected[name] for name in expected))
    kinematic = [expected[n] for n in ("linear_speed", "linear_acceleration", "angular_speed", "angular_acceleration")]
    assert score.buckets["kinematic"] == pytest.approx(np.mean(kinematic))
    interactive = 0.1 * 2 * 80.1 / 81 + 0.25 * 1.001 / 1.002
    assert score.buckets["interactive"] == pytest.approx(interactive / 0.45)
    assert score.rates == {"collision": 0, "offroad": 0, "traffic_light_violation": 0}
    assert score.ade == score.min_ade == 0
    assert score.oracle is not None and score.oracle.metametric == score.metametric


def test_displacement_counts_history_height_and_valid_steps() -> None:
    scene = make(car(0, sdc=True), car(50, to_predict=True, valid=seen((40, STEPS))))
    rollouts = replay(scene, 2).astype(np.float64)
    rollouts[0] += [2.0, 1.0, 2.0, 0.0]  # 3 m
    rollouts[1, 1] += [0.0, 4.0, 0.0, 0.0]
    score = Realism(scene).score(rollouts)
    found = Realism(scene).features(rollouts).displacement_error
    assert found == pytest.approx(np.array([[3 * 80 / 91, 3 * 29 / 40], [0, 4 * 29 / 40]]))
    assert score.ade == pytest.approx(found.mean())
    assert score.min_ade == pytest.approx(found[1].mean())  # of the better rollout, not of each object's best


# --- what scenes lack -------------------------------------------------------------------------------------------------

STREET: Line = [(0.0, 0.0), (50.0, 0.0), (100.0, 0.0)]


def crossing(kind: AgentType = AgentType.VEHICLE, shows: SignalState = SignalState.STOP, **options: Any) -> Scene:
    """Nobody moves in the log; rollout 0 of `driven` crosses the stop point at x = 60 in step 30 of the future."""
    options = {"lanes": [STREET], "lights": [Light(lane=0, stop=(60.0, 0.0), shows=[shows] * STEPS)]} | options
    return make(car(40.5, sdc=True, kind=kind), car(40.5, y=40.0, to_predict=True), edges=[*EDGES], **options)


def driven(scene: Scene) -> NDArray[np.float32]:
    rollouts = replay(scene, 2)
    rollouts[0, 0, :, 0] = 30 + np.arange(80) + 0.5
    return rollouts


def test_a_red_light() -> None:
    scene = crossing()
    realism = Realism(scene)
    found = realism.features(driven(scene)).traffic_light_violation
    assert np.argwhere(found).tolist() == [[0, 0, 30]]
    score = realism.score(driven(scene))
    assert of_flag(score, "traffic_light_violation") == pytest.approx([1.001 / 2.002, 2.001 / 2.002])
    assert score.likelihoods["traffic_light_violation"] == pytest.approx(np.sqrt(1.001 * 2.001) / 2.002)
    assert score.rates["traffic_light_violation"] == 0.25
    assert not realism.log_features.traffic_light_violation.any()


def test_who_stops_on_the_stop_point_for_a_step_does_not_cross_it() -> None:
    """Crossing is asked as before < stop at one step and after > stop at the next."""
    scene = crossing()
    rollouts = driven(scene)
    rollouts[0, 0, :, 0] = 30 + np.arange(80)
    assert not Realism(scene).features(rollouts).traffic_light_violation.any()


@pytest.mark.parametrize(
    "shows", [SignalState.GO, SignalState.FLASHING_STOP, SignalState.ARROW_CAUTION, SignalState.UNKNOWN]
)
def test_other_signals_stop_nobody(shows: SignalState) -> None:
    scene = crossing(shows=shows)
    assert not Realism(scene).features(driven(scene)).traffic_light_violation.any()


def test_red_lights_are_for_vehicles_but_their_rate_is_not() -> None:
    scene = crossing(AgentType.CYCLIST)
    score = Realism(scene).score(driven(scene))
    assert of_flag(score, "traffic_light_violation") == pytest.approx([2.001 / 2.002] * 2)
    assert score.rates["traffic_light_violation"] == 0.25


def freeway(scene: Scene) -> Scene:
    kinds = np.where(scene.road.is_lane, np.int8(RoadType.LANE_FREEWAY), scene.road.type)
    return replace(scene, road=replace(scene.road, type=kinds))


def test_no_signals_and_no_surface_streets() -> None:
    for scene in (crossing(lights=[]), freeway(crossing())):
        realism = Realism(scene)
        score = realism.score(driven(scene))
        assert not realism.features(driven(scene)).traffic_light_violation.any()
        assert of_flag(score, "traffic_light_violation") == pytest.approx([2.001 / 2.002] * 2)
        assert not realism.missing and "traffic_light_violation" in score.likelihoods


def test_a_signal_over_a_lane_that_is_not_there() -> None:
    scene = crossing()
    lost = replace(scene, signals=replace(scene.signals, lane=np.array([-1], np.int32), lane_id=np.array([99])))
    assert not Realism(lost).features(driven(lost)).traffic_light_violation.any()


def test_no_road_edge() -> None:
    scene = make(car(0, 11.0, sdc=True), edges=[])
    with pytest.warns(UserWarning, match="no distance_to_road_edge, no offroad_indication .* road edge"):
        realism = Realism(scene)
    score = realism.score(replay(scene))
    assert realism.missing == score.missing == ("distance_to_road_edge", "offroad_indication")
    assert realism.log_features.distance_to_road_edge is realism.log_features.offroad_indication is None
    assert set(score.likelihoods) == set(realism.config.features) - set(score.missing)
    plain = 0.05 * (79.1 / 81 + 78.1 / 81.1 + 79.1 / 81.1 + 78.1 / 81.1) + 0.1 * 2 * 80.1 / 81 + 0.3 * 1.001 / 1.002
    assert score.metametric == pytest.approx(plain / 0.7)
    assert score.buckets["map"] == pytest.approx(1.001 / 1.002)  # red lights alone
    assert set(score.rates) == {"collision", "traffic_light_violation"}
    assert score.oracle is not None and score.oracle.missing == score.missing
    assert score.as_dict()["missing"] == list(score.missing)
    both = realism.leave_one_out(replay(scene, 2))
    assert both.metametric == pytest.approx([score.metametric] * 2)
    assert both.agents == pytest.approx(both.metametric[:, None])


def test_edges_of_one_point_are_none() -> None:
    with pytest.warns(UserWarning, match="no road edge"):
        assert Realism(make(car(0, sdc=True), edges=[[(0.0, 0.0)]])).missing


def test_a_whole_scene_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Realism(make(car(0, sdc=True))).score(replay(make(car(0, sdc=True))))


def test_nobody_but_a_pedestrian_has_no_time_to_collision() -> None:
    scene = make(car(0), car(30, 1.0, kind=AgentType.PEDESTRIAN, to_predict=True))
    with pytest.warns(UserWarning, match="no time_to_collision"):
        realism = Realism(scene)
    assert realism.missing == ("time_to_collision",)
    score = realism.score(replay(scene))
    total = sum(
        one.weight * score.likelihoods[n] for n, one in realism.config.features.items() if n in score.likelihoods
    )
    assert score.metametric == pytest.approx(total / 0.9)
    assert score.ids.tolist() == [1]
    before_2025 = Realism(scene, "2024_leaderboard")
    assert not before_2025.missing
    assert before_2025.score(replay(scene)).likelihoods["time_to_collision"] == pytest.approx(80.1 / 81)


def test_a_pedestrian_among_cars_has_no_own_time_to_collision() -> None:
    scene = make(car(0, sdc=True), car(30, 1.0, kind=AgentType.PEDESTRIAN, to_predict=True))
    score = Realism(scene).score(replay(scene))
    assert np.isnan(score.likelihoods_of_agents()["time_to_collision"]).tolist() == [False, True]
    assert score.as_dict()["agents"]["1"]["time_to_collision"] is None


# --- who is there -----------------------------------------------------------------------------------------------------


def test_who_is_not_there_now_does_not_exist() -> None:
    scene = make(car(0, sdc=True), car(2, valid=seen((NOW, NOW + 1))))
    realism = Realism(scene)
    assert realism.ids.tolist() == [0]
    rollouts = replay(scene, 3)
    rollouts[:, 1] = np.nan  # rows of others are not read
    score = realism.score(rollouts)
    assert (realism.log_features.distance_to_nearest_object == FAR).all()
    assert score.rates["collision"] == 0


def test_who_vanishes_is_still_simulated_but_not_compared() -> None:
    """Track 1 is seen to step 39; in the rollout it drives into track 0 at step 60."""
    scene = make(car(0, sdc=True), car(20, to_predict=True, valid=seen((40, STEPS))))
    realism = Realism(scene)
    rollouts = replay(scene)
    rollouts[0, 1, 49:, 0] = 2.0
    features, score = realism.features(rollouts), realism.score(rollouts)
    assert features.collision_indication[0, :, 48].tolist() == [False, False]
    assert features.collision_indication[0, :, 49:].all()
    assert of_flag(score, "collision_indication") == pytest.approx([0.001 / 1.002, 1.001 / 1.002])
    assert score.rates["collision"] == 0.5
    log = realism.log_features.distance_to_nearest_object[0]
    # Boxes of 4 m x 2 m, 20 m apart; nobody is near who is not there.
    assert log[:, :29] == pytest.approx(16.0, abs=1e-4)
    assert (log[:, 29:] == FAR).all()
    assert realism.log_features.distance_to_road_edge[1, 29:] if False else True
    _, counted = score.log_likelihood("distance_to_road_edge")
    assert counted.sum(1).tolist() == [80, 29]
    _, counted = score.log_likelihood("linear_speed")
    assert counted.sum(1).tolist() == [78, 27]  # both neighbours must be seen, in the future alone
    _, counted = score.log_likelihood("linear_acceleration")
    assert counted.sum(1).tolist() == [76, 25]


@pytest.mark.parametrize("left", [np.nan, np.inf, -np.inf])
def test_what_a_state_holds_that_is_not_valid_does_not_matter_to_others(left: float) -> None:
    rng = np.random.default_rng(0)
    boxes = [car(x, y=y, sdc=k == 0) for k, (x, y) in enumerate(rng.uniform(-30, 30, (20, 2)))]
    scene = make(*boxes)
    valid = rng.random((20, STEPS)) < 0.5
    valid[:, NOW] = valid[0] = True

    def holding(value: float) -> Scene:
        held = {n: np.where(valid, getattr(scene.tracks, n), np.float32(value)) for n in ("x", "y", "z", "yaw")}
        return replace(scene, tracks=replace(scene.tracks, valid=valid, **held))

    zeros, odd = Realism(holding(0.0)).log_features, Realism(holding(left)).log_features
    for field in fields(zeros):
        assert np.array_equal(getattr(odd, field.name), getattr(zeros, field.name), equal_nan=True), field.name


def test_evaluated_objects_come_by_id_and_the_recording_car_once() -> None:
    scene = make(car(0, to_predict=True), car(20), car(40, sdc=True, to_predict=True))
    scene = replace(scene, tracks=replace(scene.tracks, id=np.array([7, 5, 3])))
    realism = Realism(scene)
    assert realism.evaluated.tolist() == [3, 7] and realism.evaluated_tracks.tolist() == [2, 0]
    assert realism.ids.tolist() == [7, 5, 3] and realism.tracks.tolist() == [0, 1, 2]


def test_sizes_are_those_of_now() -> None:
    scene = make(car(0, sdc=True), car(20))
    longer = np.array(scene.tracks.length)
    longer[:, NOW + 1 :] = 30
    scene = replace(scene, tracks=replace(scene.tracks, length=longer))
    assert Realism(scene).log_features.distance_to_nearest_object == pytest.approx(16.0, abs=1e-4)


def test_bridges_do_not_matter_to_collisions() -> None:
    scene = make(car(0, sdc=True), car(0, floor=20.0))
    assert Realism(scene).log_features.collision_indication.all()


def test_whole_turns_keep_nobody_ahead() -> None:
    """Headings are compared as they are: a leader who has turned round once is not followed any more."""
    scene = make(car(0, 10.0, sdc=True), car(64, 4.0))
    gap = 64 - 4 - 0.6 * (NOW + 1 + np.arange(79))  # 6 m/s apart
    log = Realism(scene).log_features.time_to_collision[0, 0]
    assert log[:79] == pytest.approx(np.minimum(gap / 6, 5), abs=0.001)
    assert log[78] < 2
    assert log[79] == 5  # whose speed is not known
    turns = np.zeros((2, STEPS), np.int8)
    turns[1] = 1
    turned = replace(scene, tracks=replace(scene.tracks, turns=turns))
    realism = Realism(turned)
    assert (realism.log_features.time_to_collision == 5).all()
    rollouts = replay(scene)
    assert realism.features(rollouts).time_to_collision[0, 0, :79] == pytest.approx(log[:79])
    rollouts[0, 1, :, 3] += 2 * np.pi
    assert (realism.features(rollouts).time_to_collision == 5).all()


# --- road edges -------------------------------------------------------------------------------------------------------


def to_edges(point: tuple[float, float], *lines: Line, z: float = 0.0) -> float:
    edges = RoadEdges([np.array([[*p, 0.0][:3] for p in line], np.float32) for line in lines])
    return float(edges.distance_of_points(np.array([[*point, z]], np.float32))[0])


LEFT_INSIDE: Line = [(0, 0), (10, 0), (10, 2), (0, 0)]  # a sharp tip at its ends; the road is inside
LEFT_OUTSIDE: Line = [(0, 0), (10, 2), (10, 0), (0, 0)]
LONGER: Line = [(1000 + x, 0) for x in range(6)]


def test_the_ends_of_the_longest_closed_edge_meet() -> None:
    """Before the tip, left of the first segment and right of the last, or the other way round."""
    apart = np.sqrt(1.25)
    assert to_edges((-1, 0.5), LEFT_INSIDE) == pytest.approx(apart)  # the tip is convex: either side off the road is
    assert to_edges((-1, -0.5), LEFT_OUTSIDE) == pytest.approx(-apart)


def test_the_ends_of_shorter_closed_edges_do_not() -> None:
    """The first segment alone decides, and is wrong; so it is in the official code."""
    apart = np.sqrt(1.25)
    assert to_edges((-1, 0.5), LEFT_INSIDE, LONGER) == pytest.approx(-apart)
    assert to_edges((-1, -0.5), LEFT_OUTSIDE, LONGER) == pytest.approx(apart)


def test_edges_whose_ends_are_a_metre_apart_are_open() -> None:
    """Height counts; and the first segment is the nearest, since it is lower."""
    apart = np.sqrt(1.25)
    assert to_edges((-1, 0.5), [*LEFT_INSIDE[:-1], (0, 0, 0.99)]) == pytest.approx(apart)
    assert to_edges((-1, 0.5), [*LEFT_INSIDE[:-1], (0, 0, 1.0)]) == pytest.approx(-apart)


def test_corners_of_an_edge() -> None:
    """A right angle that turns left: what lies beyond it is off the road; one that turns right: on the road."""
    left: Line = [(-10, 0), (0, 0), (0, 10)]
    right: Line = [(-10, 0), (0, 0), (0, -10)]
    assert to_edges((3, -4), left) == pytest.approx(5)
    assert to_edges((3, 4), right) == pytest.approx(-5)
    assert to_edges((-3, 4), left) == pytest.approx(-3)
    assert to_edges((-3, -4), right) == pytest.approx(3)


def test_height_chooses_the_edge_but_is_not_counted() -> None:
    """The edge 2 m aside and 6 m below is 18 m off, stretched; the one 7 m aside is nearer, and on the other side."""
    below: Line = [(-50, -2, -6), (50, -2, -6)]
    level: Line = [(-50, 7, 0), (50, 7, 0)]
    assert to_edges((0, 0), below, level) == pytest.approx(7)
    assert to_edges((0, 0), below, level, z=-6.0) == pytest.approx(-2)


def test_a_segment_without_length() -> None:
    """It comes first among equals, and what lies beside it is neither on nor off the road."""
    assert to_edges((-1, 1), [(0, 0), (0, 0), (10, 0)]) == 0
    assert to_edges((5, 1), [(0, 0), (0, 0), (10, 0)]) == pytest.approx(-1)
    assert to_edges((10, -1), [(0, 0), (10, 0), (10, 0), (20, 0)]) == pytest.approx(1)
    assert to_edges((-1, 1), [(0, 0), (0, 0)]) == 0
    scene = make(car(0, sdc=True), edges=[[(0.0, 0.0), (0.0, 0.0)]])
    assert not Realism(scene).log_features.offroad_indication.any()


def test_off_road_is_the_outermost_corner() -> None:
    scene = make(car(0, y=4.5, sdc=True), car(30, y=3.9))
    scene = replace(scene, tracks=replace(scene.tracks, to_predict=np.array([False, True])))
    log = Realism(scene).log_features
    assert log.distance_to_road_edge[0, 0] == pytest.approx(0.5, abs=1e-5)
    assert log.distance_to_road_edge[0, 1] == pytest.approx(-0.1, abs=1e-5)
    assert log.offroad_indication[0].all(1).tolist() == [True, False]


# --- scenes that cannot be scored -------------------------------------------------------------------------------------


def test_scenes_that_cannot_be_scored() -> None:
    short = micro_scene(Box(sdc=True), num_steps=50, current_step=NOW)
    with pytest.raises(SceneError, match=r"'micro' has 50 steps.*needs 91"):
        Realism(short)
    with pytest.raises(SceneError, match=r"current step at 5.*must be 10"):
        Realism(replace(make(car(0, sdc=True)), current_step=5))
    with pytest.raises(SceneError, match="nothing to evaluate; mark some tracks"):
        Realism(make(car(0)))
    with pytest.raises(SceneError, match="track 1 is to be predicted but is not valid at step 10"):
        Realism(make(car(0, sdc=True), car(20, to_predict=True, valid=seen((NOW, NOW + 1)))))
