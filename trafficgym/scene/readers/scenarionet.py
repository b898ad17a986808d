"""ScenarioNet (MetaDrive) pickles: WOMD, nuScenes and others in one dictionary format.

A WOMD scene read from here equals the same scene read from its TFRecord but for what ScenarioNet does not keep:
coordinates and, for 20 s scenes, timestamps are float32 in the file (error up to 1 mm beyond 8 km from the frame's
zero, and 1e-6 s), there is one stop point per signalled lane for all steps, signalled lanes come in the pickle's
order, and the type of a line or edge of unknown type is lost (it becomes LINE_UNKNOWN). `Scene.source` differs.

What is special about nuScenes: ids are tokens, so that tracks and features are numbered in their order; polylines
are flat, and the third number of a lane's points is its direction, so that z is 0; every speed limit is the same
placeholder and is dropped; the ego's length and width are swapped in the file and are swapped back, while its
position stays what the file has (on the ground at the rear axle); there is no lane graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import SceneError
from trafficgym.scene.readers.build import (
    Feature,
    Neighbor,
    SourceSignals,
    SourceTracks,
    build_road,
    integer_ids,
    lane_index,
    regular_timestamps,
    relative_seconds,
)
from trafficgym.scene.readers.unpickle import load_pickle
from trafficgym.scene.readers.womd import METERS_PER_SECOND_PER_MPH
from trafficgym.scene.scene import AgentType, RoadType, Scene, SignalState

_AGENT_TYPES = {
    "VEHICLE": AgentType.VEHICLE,
    "PEDESTRIAN": AgentType.PEDESTRIAN,
    "CYCLIST": AgentType.CYCLIST,
    "UNSET": AgentType.UNSET,
}

_ROAD_TYPES = {
    "LANE_FREEWAY": RoadType.LANE_FREEWAY,
    "LANE_SURFACE_STREET": RoadType.LANE_SURFACE_STREET,
    "LANE_SURFACE_UNSTRUCTURE": RoadType.LANE_SURFACE_STREET,
    "LANE_BIKE_LANE": RoadType.LANE_BIKE,
    "LANE_UNKNOWN": RoadType.LANE_UNDEFINED,
    "UNKNOWN": RoadType.LINE_UNKNOWN,
    "UNKNOWN_LINE": RoadType.LINE_UNKNOWN,
    **{f"ROAD_{kind.name}": kind for kind in RoadType if kind.is_line or kind.is_edge},
    "ROAD_EDGE_SIDEWALK": RoadType.EDGE_BOUNDARY,
    "STOP_SIGN": RoadType.STOP_SIGN,
    "CROSSWALK": RoadType.CROSSWALK,
    "SPEED_BUMP": RoadType.SPEED_BUMP,
    "DRIVEWAY": RoadType.DRIVEWAY,
}

_SIGNAL_STATES = {
    **{f"LANE_STATE_{state.name}": state for state in SignalState},
    "TRAFFIC_LIGHT_GREEN": SignalState.GO,
    "TRAFFIC_LIGHT_YELLOW": SignalState.CAUTION,
    "TRAFFIC_LIGHT_RED": SignalState.STOP,
}


@np.errstate(over="ignore", invalid="ignore")  # what overflows is found by validation
def load_scenarionet(stream: BinaryIO, name: str) -> Scene:
    """Read one ScenarioNet pickle.

    Args:
        name: What to call the scene where the file does not say.

    Raises:
        SceneError: the pickle is damaged, asks for a name that is not admitted, or holds no valid scene.
    """
    data = load_pickle(stream)
    missing = [key for key in ("tracks", "map_features") if not isinstance(data, dict) or key not in data]
    if missing:
        raise SceneError(f"is a pickle without {missing[0]!r} and so holds no ScenarioNet scene")
    return _scene(data, name)


def _scene(data: Mapping[str, Any], name: str) -> Scene:
    metadata = data.get("metadata") or {}
    is_nuscenes = metadata.get("dataset") == "nuscenes"
    tracks = _tracks(data["tracks"], metadata)
    if is_nuscenes and tracks.sdc is not None:
        _swap_length_and_width(tracks, tracks.sdc)
    steps = tracks.valid.shape[1]
    current = int(metadata.get("current_time_index") or 0)
    if not 0 <= current < steps:
        raise SceneError(f"current_time_index is {current}, but there are {steps} steps")
    origin = tracks.origin(current)
    names = list(data["map_features"])
    index = dict(zip(map(str, names), integer_ids(names), strict=True))
    features, xyz = _features(data["map_features"], index, is_nuscenes)
    signals = _signals(data.get("dynamic_map_states") or {}, index, steps)
    return Scene(
        id=str(metadata.get("scenario_id") or data.get("id") or name),
        source="scenarionet",
        origin=origin,
        timestamps=_timestamps(metadata, steps),
        current_step=current,
        tracks=tracks.in_scene_frame(origin),
        road=build_road(features, xyz, origin, cropped=metadata.get("dataset") not in (None, "waymo")),
        signals=signals.in_scene_frame(origin, lane_index(features), steps),
    )


def _timestamps(metadata: Mapping[str, Any], steps: int) -> NDArray[np.float64]:
    stamps = np.asarray(metadata["ts"], np.float64) if "ts" in metadata else regular_timestamps(steps)
    if len(stamps) != steps:
        raise SceneError(f"there are {len(stamps)} timestamps, but {steps} steps")
    return relative_seconds(stamps)


def _tracks(tracks: Mapping[Any, Mapping[str, Any]], metadata: Mapping[str, Any]) -> SourceTracks:
    if not tracks:
        raise SceneError("has no tracks; there is nothing to simulate")
    names = list(tracks)
    states = [tracks[name]["state"] for name in names]
    steps = {len(state["valid"]) for state in states}
    if len(steps) > 1:
        raise SceneError(f"its tracks have different numbers of steps: {sorted(steps)}")

    def column(key: str) -> NDArray[np.float64]:
        return np.stack([np.asarray(state[key], np.float64).reshape(len(state["valid"]), -1) for state in states])

    position, velocity = column("position"), column("velocity")
    if position.shape[2] == 2:
        position = np.concatenate([position, np.zeros_like(position[..., :1])], axis=2)
    index = {str(name): i for i, name in enumerate(names)}
    ids = integer_ids(names)
    interesting = [str(x) for x in metadata.get("objects_of_interest") or ()]
    return SourceTracks(
        id=ids,
        type=[_AGENT_TYPES.get(tracks[name]["type"], AgentType.OTHER) for name in names],
        x=position[..., 0],
        y=position[..., 1],
        z=position[..., 2],
        yaw=column("heading")[..., 0],
        vx=velocity[..., 0],
        vy=velocity[..., 1],
        length=column("length")[..., 0],
        width=column("width")[..., 0],
        height=column("height")[..., 0],
        valid=column("valid")[..., 0] != 0,
        sdc=index.get(str(metadata.get("sdc_id"))),
        to_predict=_to_predict(metadata, index),
        of_interest=[ids[index[x]] for x in interesting if x in index],
    )


def _to_predict(metadata: Mapping[str, Any], index: Mapping[str, int]) -> dict[int, int]:
    predicted = metadata.get("tracks_to_predict") or {}
    return {index[str(key)]: int(value.get("difficulty", 0)) for key, value in predicted.items() if str(key) in index}


def _swap_length_and_width(tracks: SourceTracks, track: int) -> None:
    """Put right the ego of nuScenes, whose box the converter turned by a quarter."""
    if (tracks.length[track] < tracks.width[track]).any():
        tracks.length[track], tracks.width[track] = tracks.width[track].copy(), tracks.length[track].copy()


def _features(
    map_features: Mapping[Any, Mapping[str, Any]], index: Mapping[str, int], is_nuscenes: bool
) -> tuple[list[Feature], NDArray[np.float64]]:
    """Features of a type that is known, and their points float64 ``[P, 3]`` m in the frame of the source."""
    features, points = [], [np.zeros((0, 3))]
    for name, data in map_features.items():
        kind = _ROAD_TYPES.get(data["type"])
        if data["type"] == "UNKNOWN" and "entry_lanes" in data:
            kind = RoadType.LANE_UNDEFINED
        if kind is None:  # sidewalks and the like, for which a RoadMap has no place
            continue
        mine = _points(data, flat=is_nuscenes)
        points.append(mine)
        feature = Feature(id=index[str(name)], type=kind, num_points=len(mine))
        if kind.is_lane:
            _add_lane_data(feature, data, index, has_speed_limits=not is_nuscenes)
        elif kind == RoadType.STOP_SIGN:
            feature.stop_lanes = [index[str(lane)] for lane in data.get("lane", ()) if str(lane) in index]
        features.append(feature)
    return features, np.concatenate(points)


def _points(data: Mapping[str, Any], *, flat: bool) -> NDArray[np.float64]:
    key = next((key for key in ("polyline", "polygon", "position") if key in data), None)
    if key is None:
        raise SceneError(f"a map feature of type {data['type']} has no points")
    values = np.asarray(data[key], np.float64)
    if values.size == 0:
        return np.zeros((0, 3))
    values = np.atleast_2d(values)
    xyz = np.zeros((len(values), 3))
    width = 2 if flat else min(values.shape[1], 3)
    xyz[:, :width] = values[:, :width]
    return xyz


def _add_lane_data(
    feature: Feature, data: Mapping[str, Any], index: Mapping[str, int], *, has_speed_limits: bool
) -> None:
    if has_speed_limits and data.get("speed_limit_mph") is not None:
        feature.speed_limit = float(data["speed_limit_mph"]) * METERS_PER_SECOND_PER_MPH
    elif has_speed_limits and data.get("speed_limit_kmh") is not None:
        feature.speed_limit = float(data["speed_limit_kmh"]) / 3.6
    feature.interpolating = bool(data.get("interpolating", False))
    feature.exits = _lane_ids(data.get("exit_lanes"), index)
    feature.entries = _lane_ids(data.get("entry_lanes"), index)
    feature.left = _neighbors(data.get("left_neighbor"), index)
    feature.right = _neighbors(data.get("right_neighbor"), index)


def _lane_ids(lanes: Sequence[Any] | None, index: Mapping[str, int]) -> list[int | str]:
    """Ids of lanes as in `index`; one that the map lacks keeps its name, as text that is equal to no id."""
    return [index.get(str(lane), str(lane)) for lane in lanes or ()]


def _neighbors(neighbors: Sequence[Any] | None, index: Mapping[str, int]) -> list[Neighbor]:
    if not neighbors:
        return []
    if not isinstance(neighbors[0], Mapping):  # nuPlan and others list ids alone
        return [Neighbor(lane=lane) for lane in _lane_ids(neighbors, index)]
    keys = ("self_start_index", "self_end_index", "neighbor_start_index", "neighbor_end_index")
    lanes = _lane_ids([n["feature_id"] for n in neighbors], index)
    spans = [tuple(int(n[key]) for key in keys) for n in neighbors]
    return [Neighbor(lane=lane, span=(s[0], s[1], s[2], s[3])) for lane, s in zip(lanes, spans, strict=True)]


def _signals(states: Mapping[Any, Mapping[str, Any]], index: Mapping[str, int], steps: int) -> SourceSignals:
    """One entry per lane and step whose state is not None, ordered by step so that first appearance decides."""
    entries = []
    for row, (name, data) in enumerate(states.items()):
        shown = list(data["state"]["object_state"])
        if len(shown) > steps:
            raise SceneError(f"signal {name} has {len(shown)} states, but there are {steps} steps")
        stop = data["state"].get("stop_point", data.get("stop_point"))
        stops = np.broadcast_to(np.asarray(stop, np.float64), (len(shown), 3))
        # A signal of a lane that the map lacks keeps its number, or gets one where it has none.
        lane_name = str(data.get("lane", name))
        lane = index.get(lane_name, int(lane_name) if lane_name.isdecimal() else -1 - row)
        for step, state in enumerate(shown):
            if state is not None:
                entries.append((step, row, lane, _SIGNAL_STATES.get(state, SignalState.UNKNOWN), stops[step]))
    entries.sort(key=lambda entry: entry[:2])
    return SourceSignals(
        step=[entry[0] for entry in entries],
        lane=[entry[2] for entry in entries],
        state=[entry[3] for entry in entries],
        stop=np.array([entry[4] for entry in entries]).reshape(-1, 3),
    )
