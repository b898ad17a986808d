"""One hand-made Scenario, worked out on paper, and every way in which a scenario can be wrong."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scene.make_scenario import add_lane, add_track, make_scenario, point, state, write_tfrecord
from trafficgym.errors import SceneError
from trafficgym.scene.readers import Skipped, read
from trafficgym.scene.readers import scenario_pb2 as pb
from trafficgym.scene.readers.wire import FixedLayoutDecoder
from trafficgym.scene.readers.womd import scene_from_scenario
from trafficgym.scene.scene import AgentType, RoadType, Scene, SignalState


def scene_of(scenario: pb.Scenario) -> Scene:
    return scene_from_scenario(scenario.SerializeToString())


def test_tracks_are_in_the_frame_of_the_sdc_at_the_current_step() -> None:
    scene = scene_of(make_scenario())
    assert scene.origin.tolist() == [1002.0, 2005.0, 30.0]
    np.testing.assert_array_equal(scene.tracks.x, [[-2, 0, 2], [0, 0, 2]])
    np.testing.assert_array_equal(scene.tracks.y, [[-5, -5, -5], [0, 0, 0]])
    np.testing.assert_array_equal(scene.tracks.valid, [[True, True, True], [False, True, True]])
    np.testing.assert_allclose(scene.timestamps, [0.0, 0.1, 0.2])
    assert (scene.current_step, scene.sdc) == (1, 1)
    assert scene.tracks.id.tolist() == [70, 71]
    assert scene.tracks.difficulty.tolist() == [2, 0]
    assert scene.tracks.to_predict.tolist() == [True, False]
    assert scene.tracks.of_interest.tolist() == [True, False]
    assert scene.tracks.z[1, 0] == -1  # not valid, and the source holds no x and y, but a height of 29 m


def test_road_keeps_order_graph_and_units() -> None:
    road = scene_of(make_scenario()).road
    assert road.id.tolist() == [10, 11, 12, 20, 21, 22, 23]
    assert road.type.tolist() == [
        RoadType.LANE_SURFACE_STREET, RoadType.LANE_SURFACE_STREET, RoadType.LANE_SURFACE_STREET,
        RoadType.EDGE_BOUNDARY, RoadType.LINE_SOLID_DOUBLE_YELLOW, RoadType.CROSSWALK, RoadType.STOP_SIGN,
    ]  # fmt: skip
    np.testing.assert_array_equal(road.points(1), [[8, -5, 0], [18, -5, 0]])
    assert len(road.points(3)) == 1
    assert road.points(6).tolist() == [[7, -7, 1]]
    assert road.successors.of(0).tolist() == [1]
    assert road.predecessors.of(1).tolist() == [0]
    assert road.left_neighbors.of(1).tolist() == [2]
    assert road.left_neighbors.span is not None
    assert road.left_neighbors.span.tolist() == [[0, 1, 1, 2]]
    assert road.stop_lanes.of(6).tolist() == [0]
    assert road.speed_limit[1] == pytest.approx(11.176)  # 25 mph
    assert road.interpolating.tolist() == [False, True, False, False, False, False, False]


def test_signals_are_masked_where_a_step_has_no_entry() -> None:
    signals = scene_of(make_scenario()).signals
    assert signals.lane.tolist() == [1]
    assert signals.valid.tolist() == [[False, True, True]]
    assert signals.state.tolist() == [[0, SignalState.STOP, SignalState.GO]]
    assert signals.stop[0, 1].tolist() == [8, -5, 0]


def test_a_signal_of_a_lane_that_the_map_lacks_is_kept() -> None:
    scenario = make_scenario()
    scenario.dynamic_map_states[0].lane_states.add(lane=999, state=4, stop_point=point(1, 2))
    signals = scene_of(scenario).signals
    assert signals.lane_id.tolist() == [999, 11]
    assert signals.lane.tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [(0.0, 0.0), (3.2, 3.2 - 2 * math.pi), (-3.2, 2 * math.pi - 3.2), (math.pi, -math.pi), (7.0, 7.0 - 2 * math.pi)],
)
def test_yaw_is_wrapped(heading: float, expected: float) -> None:
    scenario = make_scenario()
    turned = state(1000, 2000, 30)
    turned.heading = heading
    scenario.tracks[0].states[0] = turned.SerializeToString()
    assert scene_of(scenario).tracks.yaw[0, 0] == pytest.approx(expected, abs=1e-6)


def test_invalid_state_keeps_the_position_that_the_source_holds() -> None:
    scenario = make_scenario()
    held = state(1010, 2000, 30)
    held.valid = False
    held.velocity_x = math.nan
    scenario.tracks[1].states[0] = held.SerializeToString()
    tracks = scene_of(scenario).tracks
    assert (tracks.x[1, 0], tracks.y[1, 0], tracks.vx[1, 0]) == (8, -5, 0)


@pytest.mark.parametrize("sdc_valid", [True, False])
def test_origin_falls_back_to_a_track_that_is_valid(sdc_valid: bool) -> None:
    scenario = make_scenario()
    gone = pb.ObjectState(valid=False).SerializeToString()
    scenario.tracks[1].states[1] = gone  # the SDC is first seen at step 2
    if not sdc_valid:
        scenario.tracks[1].states[2] = gone  # and then never: the track to predict decides
    assert scene_of(scenario).origin.tolist() == ([1004, 2005, 30] if sdc_valid else [1002, 2000, 30])


def test_history_alone_is_a_scene() -> None:
    scene = scene_of(make_scenario(steps=11, current=10))
    assert (scene.num_steps, scene.current_step) == (11, 10)


def test_a_scene_without_a_map_is_a_scene() -> None:
    scenario = make_scenario()
    del scenario.map_features[:]
    scene = scene_of(scenario)
    assert scene.road.num_features == 0
    assert scene.signals.lane.tolist() == [-1]


def _nan_position(s: pb.Scenario) -> None:
    s.tracks[0].states[2] = state(math.nan, 0, 0).SerializeToString()


def _nan_sdc(s: pb.Scenario) -> None:
    s.tracks[1].states[1] = state(math.nan, 0, 0).SerializeToString()


def _nan_map(s: pb.Scenario) -> None:
    s.map_features[0].lane.polyline[0] = point(math.nan, 0)


def _duplicate_track(s: pb.Scenario) -> None:
    s.tracks[1].id = 70


def _duplicate_feature(s: pb.Scenario) -> None:
    add_lane(s, 10, [(0, 0), (1, 1)])


def _missing_exit(s: pb.Scenario) -> None:
    s.map_features[0].lane.exit_lanes.append(99)


def _missing_entry(s: pb.Scenario) -> None:
    s.map_features[0].lane.entry_lanes.append(20)  # there, but a road edge


def _missing_neighbor(s: pb.Scenario) -> None:
    s.map_features[0].lane.right_neighbors.add(feature_id=98)


def _nobody_valid(s: pb.Scenario) -> None:
    for track in s.tracks:
        for step in range(3):
            track.states[step] = pb.ObjectState(valid=False).SerializeToString()


def _short_track(s: pb.Scenario) -> None:
    add_track(s, 72, 1, [state(0, 0, 0)])


def _current_beyond(s: pb.Scenario) -> None:
    s.current_time_index = 3


def _sdc_beyond(s: pb.Scenario) -> None:
    s.sdc_track_index = 2


def _late_timestamp(s: pb.Scenario) -> None:
    s.timestamps_seconds[2] = 7.0


def _extra_signals(s: pb.Scenario) -> None:
    s.dynamic_map_states.add()


def _damaged_state(s: pb.Scenario) -> None:
    s.tracks[0].states[0] = b"\x11\x00"


def _no_size(s: pb.Scenario) -> None:
    s.tracks[0].states[0] = state(0, 0, 0, size=(0, 1, 1)).SerializeToString()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_nan_position, "track 70 has a x that is not finite at step 2"),
        (_nan_sdc, "track 71 has a x that is not finite at step 1"),
        (_nan_map, "map feature 10 has a point that is not finite"),
        (_duplicate_track, "track id 70 occurs 2 times"),
        (_duplicate_feature, "map feature id 10 occurs 2 times"),
        (_missing_exit, "lane 10 names missing exit lane 99"),
        (_missing_entry, "lane 10 names missing entry lane 20"),
        (_missing_neighbor, "lane 10 names missing right neighbor lane 98"),
        (_nobody_valid, "no agent is valid at any step"),
        (_short_track, "track 72 has 1 states, but there are 3 timestamps"),
        (_current_beyond, "current_time_index is 3, but there are 3 timestamps"),
        (_sdc_beyond, "sdc_track_index names track index 2, but there are 2 tracks"),
        (_late_timestamp, "the timestamp of step 2 does not come after that of step 1"),
        (_extra_signals, "there are 4 signal steps, but 3 timestamps"),
        (_damaged_state, "a state or map point is damaged"),
        (_no_size, "track 70 has no positive length at step 0"),
    ],
)
def test_a_spoilt_scene_is_skipped_and_the_others_are_read(tmp_path: Path, spoil, reason: str) -> None:
    bad = make_scenario("bad")
    spoil(bad)
    path = write_tfrecord(tmp_path / "val", [make_scenario("a"), bad, make_scenario("b")])
    before, skipped, after = read(path)
    assert isinstance(before, Scene)
    assert isinstance(after, Scene)
    assert (before.id, after.id) == ("a", "b")
    assert isinstance(skipped, Skipped)
    assert skipped.where == "val: record 1"
    assert skipped.reason.startswith("holds scene 'bad': ")
    assert reason in skipped.reason


_numbers = st.floats(-1e6, 1e6, width=32)
_states = st.builds(
    pb.ObjectState,
    **{name: st.none() | _numbers for name in ("center_x", "center_y", "center_z", "length", "heading", "velocity_y")},
    valid=st.none() | st.booleans(),
)


@given(st.lists(_states, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_bulk_decoding_equals_protobuf(states: list[pb.ObjectState], random) -> None:
    """Whatever fields are present, in whatever order, with unknown and repeated fields in between."""
    unusual = [b"", b"\x78\x96\x01", b"\x58\x80\x01", pb.ObjectState(center_x=5).SerializeToString()]
    messages = [s.SerializeToString() + random.choice(unusual) for s in states]
    names = [field.name for field in pb.ObjectState.DESCRIPTOR.fields]
    expected = [[getattr(pb.ObjectState.FromString(m), name) for name in names] for m in messages]
    decoded = FixedLayoutDecoder(pb.ObjectState)(messages)
    np.testing.assert_array_equal(decoded, np.array(expected, float).reshape(-1, len(names)))


@given(
    edits=st.lists(st.tuples(st.integers(0, 10**4), st.binary(max_size=6)), min_size=1, max_size=4),
    cut=st.integers(0, 10**4),
)
@settings(max_examples=200, deadline=None)
def test_no_payload_raises_anything_but_a_scene_error(edits: list[tuple[int, bytes]], cut: int) -> None:
    """A payload whose CRC is right may still be anything."""
    payload = bytearray(make_scenario().SerializeToString())
    for at, replacement in edits:
        at %= len(payload)
        payload[at : at + len(replacement)] = replacement
    with suppress(SceneError):
        scene_from_scenario(bytes(payload[: len(payload) - cut % 3]))


def test_values_that_a_later_release_may_add_become_other_or_unknown() -> None:
    scenario = make_scenario()
    scenario.tracks[0].object_type = 1000
    scenario.tracks_to_predict[0].difficulty = 1000
    scenario.map_features[0].lane.type = 1000
    scenario.dynamic_map_states[1].lane_states[0].state = 1000
    scene = scene_of(scenario)
    assert scene.tracks.type[0] == AgentType.OTHER
    assert scene.tracks.difficulty[0] == 0
    assert scene.road.type[0] == RoadType.LANE_UNDEFINED
    assert scene.signals.state[0, 1] == SignalState.UNKNOWN
