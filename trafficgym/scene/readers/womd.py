"""Waymo Open Motion Dataset: one serialized Scenario proto to one Scene.

Waymo Open Dataset, ``scenario.proto`` and ``map.proto``. Tracks and map features keep the order of the
proto, on which WOSAC depends; polylines of a single point and neighbours that repeat are kept as well.
Lidar, camera tokens and lane boundaries are not read. A lane that names a lane that is not there is an
error; a stop sign that does is not (it governs traffic outside the map), nor is a signal (its `lane` is -1).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from trafficgym.errors import SceneError
from trafficgym.scene.readers import scenario_pb2
from trafficgym.scene.readers.build import (
    Feature,
    Neighbor,
    SourceSignals,
    SourceTracks,
    build_road,
    lane_index,
    relative_seconds,
)
from trafficgym.scene.readers.wire import FixedLayoutDecoder
from trafficgym.scene.scene import AgentType, RoadType, Scene

METERS_PER_SECOND_PER_MPH = 0.44704

_decode_states = FixedLayoutDecoder(scenario_pb2.ObjectState)
_decode_points = FixedLayoutDecoder(scenario_pb2.MapPoint)

# The Scenario field of each kind of feature: the RoadType of its type 0, and how many types it has.
_KINDS = {
    "lane": (RoadType.LANE_UNDEFINED, 4),
    "road_line": (RoadType.LINE_UNKNOWN, 9),
    "road_edge": (RoadType.EDGE_UNKNOWN, 3),
    "stop_sign": (RoadType.STOP_SIGN, 1),
    "crosswalk": (RoadType.CROSSWALK, 1),
    "speed_bump": (RoadType.SPEED_BUMP, 1),
    "driveway": (RoadType.DRIVEWAY, 1),
}


@np.errstate(over="ignore", invalid="ignore")  # what overflows is found by validation
def scene_from_scenario(payload: bytes) -> Scene:
    """Turn the bytes of a Scenario proto into a Scene.

    Raises:
        SceneError: the bytes are something else, or the scenario breaks a promise of its format or of `Scene`.
    """
    scenario = _parse(payload)
    try:
        return _scene(scenario)
    except DecodeError:
        raise SceneError(f"scene {scenario.scenario_id!r}: a state or map point is damaged") from None
    except SceneError as error:
        prefix = f"scene {scenario.scenario_id!r}: "
        raise SceneError(prefix + str(error).removeprefix(prefix)) from None


def is_tf_example(payload: bytes) -> bool:
    """Whether the bytes are a tf.Example: one ``features`` message that holds nothing but a map keyed by names."""
    outer = _only_message(payload)
    return outer is not None and outer[:1] == b"\x0a"


def _only_message(payload: bytes) -> bytes | None:
    """The content of field 1 where it is length-delimited and fills the whole payload, else None."""
    if payload[:1] != b"\x0a":
        return None
    length, shift, at = 0, 0, 1
    while at < len(payload):
        byte = payload[at]
        length |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return payload[at:] if at + length == len(payload) else None
    return None


def _parse(payload: bytes) -> scenario_pb2.Scenario:
    if is_tf_example(payload):
        raise SceneError('holds a tf.Example; trafficgym reads Scenario protos (the "scenario" folder of WOMD).')
    try:
        scenario = scenario_pb2.Scenario.FromString(payload)
    except DecodeError:
        raise SceneError(
            'is not a Scenario proto; trafficgym reads Scenario protos (the "scenario" folder of WOMD).'
        ) from None
    if not scenario.tracks or not scenario.timestamps_seconds:
        raise SceneError(
            "holds no tracks or no timestamps and so is no Scenario; "
            'trafficgym reads Scenario protos (the "scenario" folder of WOMD).'
        )
    return scenario


def _scene(scenario: scenario_pb2.Scenario) -> Scene:
    steps = len(scenario.timestamps_seconds)
    if not 0 <= scenario.current_time_index < steps:
        raise SceneError(f"current_time_index is {scenario.current_time_index}, but there are {steps} timestamps")
    tracks = _tracks(scenario, steps)
    origin = tracks.origin(scenario.current_time_index)
    features, xyz = _features(scenario.map_features)
    return Scene(
        id=scenario.scenario_id,
        source="womd",
        origin=origin,
        timestamps=relative_seconds(np.array(scenario.timestamps_seconds, np.float64)),
        current_step=scenario.current_time_index,
        tracks=tracks.in_scene_frame(origin),
        road=build_road(features, xyz, origin),
        signals=_signals(scenario, steps).in_scene_frame(origin, lane_index(features), steps),
    )


def _tracks(scenario: scenario_pb2.Scenario, steps: int) -> SourceTracks:
    tracks = scenario.tracks
    for track in tracks:
        if len(track.states) != steps:
            raise SceneError(f"track {track.id} has {len(track.states)} states, but there are {steps} timestamps")
    states = _decode_states(list(chain.from_iterable(track.states for track in tracks)))
    x, y, z, length, width, height, yaw, vx, vy, valid = np.moveaxis(states.reshape(len(tracks), steps, -1), 2, 0)
    predicted = {p.track_index: p.difficulty for p in scenario.tracks_to_predict}
    sdc = scenario.sdc_track_index if scenario.HasField("sdc_track_index") else None
    for role, index in [("sdc_track_index", sdc), *(("tracks_to_predict", index) for index in predicted)]:
        if index is not None and not 0 <= index < len(tracks):
            raise SceneError(f"{role} names track index {index}, but there are {len(tracks)} tracks")
    return SourceTracks(
        id=[track.id for track in tracks],
        type=[t.object_type if 0 <= t.object_type < len(AgentType) else AgentType.OTHER for t in tracks],
        x=x,
        y=y,
        z=z,
        yaw=yaw,
        vx=vx,
        vy=vy,
        length=length,
        width=width,
        height=height,
        valid=valid != 0,
        sdc=sdc,
        to_predict=predicted,
        of_interest=scenario.objects_of_interest,
    )


def _features(map_features: Sequence[scenario_pb2.MapFeature]) -> tuple[list[Feature], NDArray[np.float64]]:
    """All map features of a kind that is known, and their points float64 ``[P, 3]`` in the frame of the source."""
    features: list[Feature] = []
    points: list[bytes] = []
    for proto in map_features:
        kind = proto.WhichOneof("feature_data")
        if kind is None:  # a kind that is newer than this reader
            continue
        data = getattr(proto, kind)
        mine = [data.position] if kind == "stop_sign" else data.polygon if kind in _POLYGONS else data.polyline
        points.extend(mine)
        first, num_types = _KINDS[kind]
        subtype = data.type if num_types > 1 and 0 <= data.type < num_types else 0
        feature = Feature(id=proto.id, type=RoadType(first + subtype), num_points=len(mine))
        if kind == "lane":
            _add_lane_data(feature, data)
        elif kind == "stop_sign":
            feature.stop_lanes = data.lane
        features.append(feature)
    return features, _decode_points(points)


_POLYGONS = ("crosswalk", "speed_bump", "driveway")


def _add_lane_data(feature: Feature, lane: scenario_pb2.LaneCenter) -> None:
    feature.speed_limit = lane.speed_limit_mph * METERS_PER_SECOND_PER_MPH
    feature.interpolating = lane.interpolating
    feature.exits = lane.exit_lanes
    feature.entries = lane.entry_lanes
    feature.left = [_neighbor(n) for n in lane.left_neighbors]
    feature.right = [_neighbor(n) for n in lane.right_neighbors]


def _neighbor(proto: scenario_pb2.LaneNeighbor) -> Neighbor:
    span = (proto.self_start_index, proto.self_end_index, proto.neighbor_start_index, proto.neighbor_end_index)
    return Neighbor(lane=proto.feature_id, span=span)


def _signals(scenario: scenario_pb2.Scenario, steps: int) -> SourceSignals:
    dynamic = scenario.dynamic_map_states
    if len(dynamic) > steps:
        raise SceneError(f"there are {len(dynamic)} signal steps, but {steps} timestamps")
    entries = [signal for at_step in dynamic for signal in at_step.lane_states]
    return SourceSignals(
        step=[step for step, at_step in enumerate(dynamic) for _ in at_step.lane_states],
        lane=[signal.lane for signal in entries],
        state=[signal.state for signal in entries],
        stop=_decode_points([signal.stop_point for signal in entries]),
    )
