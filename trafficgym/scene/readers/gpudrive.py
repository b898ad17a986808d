"""GPUDrive JSON and Nocturne JSON of WOMD, which share one layout.

GPUDrive has z, heights, ids, detailed road types and, in few files, signals. Nocturne has none of these: z is 0,
heights are typical of the type, ids are the order in the file, and lanes, lines and edges are of unknown type.
Neither has a lane graph or speed limits. Both have one size per track; where that is 0 (it was taken from a step at
which the track was not valid) the size is typical of the type. States that are not valid hold a placeholder
(-10000, or 0.0001 in older files) and become 0. "Now" is step 10, as in WOMD, and steps are 0.1 s apart.

Headings are in radians in GPUDrive and in degrees in Nocturne and in older GPUDrive files, which carry no object
ids; they count as degrees where z is missing or a heading of a valid state is beyond two turns.

Nocturne names no SDC; where a file carries ``ego_idx`` (Scenario Dreamer's addition) that track is the SDC.
GPUDrive's indices of the SDC and of the tracks to predict refer to the tracks of the TFRecord. Where one of them is
beyond the file's tracks, some were left out and none of the indices can be trusted: the roles are then left empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import SceneError
from trafficgym.scene.readers.build import (
    TYPICAL_SIZE,
    Feature,
    SourceSignals,
    SourceTracks,
    build_road,
    integer_ids,
    lane_index,
    regular_timestamps,
)
from trafficgym.scene.scene import AgentType, RoadType, Scene, SignalState

CURRENT_STEP = 10  # WOMD's "now"
_TWO_TURNS = 4 * np.pi  # rad; WOMD's own headings go a little beyond half a turn

_AGENT_TYPES = {
    "vehicle": AgentType.VEHICLE,
    "pedestrian": AgentType.PEDESTRIAN,
    "cyclist": AgentType.CYCLIST,
    "unset": AgentType.UNSET,
}
# Where `map_element_id` does not say more.
_ROAD_TYPES = {
    "lane": RoadType.LANE_UNDEFINED,
    "road_line": RoadType.LINE_UNKNOWN,
    "road_edge": RoadType.EDGE_UNKNOWN,
    "stop_sign": RoadType.STOP_SIGN,
    "crosswalk": RoadType.CROSSWALK,
    "speed_bump": RoadType.SPEED_BUMP,
    "driveway": RoadType.DRIVEWAY,
}
_SIGNAL_STATES = {state.name.lower(): state for state in SignalState}


@np.errstate(over="ignore", invalid="ignore")  # what overflows is found by validation
def load_gpudrive(stream: BinaryIO, name: str) -> Scene:
    """Read one GPUDrive or Nocturne file.

    Args:
        name: What to call the scene where the file does not say.

    Raises:
        SceneError: the JSON is damaged, is of another kind, or holds no valid scene.
    """
    try:
        data = json.load(stream)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SceneError(f"is damaged JSON ({error}); download the file again") from None
    if isinstance(data, dict) and "lane_segments" in data:
        raise SceneError("is the map of an Argoverse 2 scenario; give the scenario's .parquet file, which lies beside")
    missing = [key for key in ("objects", "roads") if not isinstance(data, dict) or key not in data]
    if missing:
        raise SceneError(f"is JSON without {missing[0]!r} and so holds no GPUDrive or Nocturne scene")
    return _scene(data, name)


def _scene(data: Mapping[str, Any], name: str) -> Scene:
    objects = data["objects"]
    if not objects:
        raise SceneError("has no objects; there is nothing to simulate")
    is_nocturne = "z" not in objects[0]["position"][0]
    tracks = _tracks(data, objects, is_nocturne)
    steps = tracks.valid.shape[1]
    current = min(CURRENT_STEP, steps - 1)
    origin = tracks.origin(current)
    features, xyz = _features(data["roads"])
    return Scene(
        id=str(data.get("scenario_id") or str(data.get("name") or name).removesuffix(".json")),
        source="nocturne" if is_nocturne else "gpudrive",
        origin=origin,
        timestamps=regular_timestamps(steps),
        current_step=current,
        tracks=tracks.in_scene_frame(origin),
        road=build_road(features, xyz, origin),
        signals=_signals(data.get("tl_states") or {}, steps).in_scene_frame(origin, lane_index(features), steps),
    )


def _tracks(data: Mapping[str, Any], objects: Sequence[Mapping[str, Any]], is_nocturne: bool) -> SourceTracks:
    steps = {len(o["position"]) for o in objects}
    if len(steps) > 1:
        raise SceneError(f"its objects have different numbers of steps: {sorted(steps)}")
    valid = np.array([o["valid"] for o in objects], bool)
    position, velocity = (
        _xyz([p for o in objects for p in o[key]]).reshape(*valid.shape, 3) for key in ("position", "velocity")
    )
    yaw = np.array([o["heading"] for o in objects], np.float64)
    if is_nocturne or (np.abs(yaw[valid]) > _TWO_TURNS).any():
        yaw = np.radians(yaw)
    types = [_AGENT_TYPES.get(str(o["type"]), AgentType.OTHER) for o in objects]
    length, width, height = (np.where(valid, size[:, None], 0.0) for size in _sizes(objects, types).T)
    sdc, to_predict = _roles(data, len(objects))
    has_ids = all("id" in o for o in objects)
    return SourceTracks(
        id=integer_ids([o["id"] for o in objects]) if has_ids else range(len(objects)),
        type=types,
        x=np.where(valid, position[..., 0], 0.0),
        y=np.where(valid, position[..., 1], 0.0),
        z=np.where(valid, position[..., 2], 0.0),
        yaw=yaw,
        vx=velocity[..., 0],
        vy=velocity[..., 1],
        length=length,
        width=width,
        height=height,
        valid=valid,
        sdc=sdc,
        to_predict=to_predict,
        of_interest=(data.get("metadata") or {}).get("objects_of_interest", ()) if has_ids else (),
    )


def _xyz(points: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Points or vectors, float64 ``[n, 3]``, z being 0 where there is none."""
    return np.array([(p["x"], p["y"], p.get("z", 0.0)) for p in points], np.float64).reshape(-1, 3)


def _sizes(objects: Sequence[Mapping[str, Any]], types: Sequence[AgentType]) -> NDArray[np.float64]:
    """Length, width and height of each object, float64 ``[A, 3]`` m, typical of the type where the file has none."""
    sizes = np.array([[o.get(key, 0.0) for key in ("length", "width", "height")] for o in objects], np.float64)
    return np.where(sizes == 0, np.array([TYPICAL_SIZE[kind] for kind in types]), sizes)


def _roles(data: Mapping[str, Any], num_tracks: int) -> tuple[int | None, dict[int, int]]:
    """The SDC's track index, and the difficulty of each track to predict."""
    metadata = data.get("metadata") or {}
    sdc = metadata.get("sdc_track_index", data.get("ego_idx"))
    predicted = {int(p["track_index"]): int(p.get("difficulty", 0)) for p in metadata.get("tracks_to_predict", ())}
    indices = [*predicted, *([] if sdc is None else [sdc])]
    if any(not 0 <= index < num_tracks for index in indices):
        return None, {}
    return None if sdc is None else int(sdc), predicted


def _features(roads: Sequence[Mapping[str, Any]]) -> tuple[list[Feature], NDArray[np.float64]]:
    """Roads of a type that is known, and their points float64 ``[P, 3]`` m in the frame of the source."""
    features, points = [], [np.zeros((0, 3))]
    has_ids = all("id" in road for road in roads)
    ids = integer_ids([road["id"] for road in roads]) if has_ids else range(len(roads))
    for number, road in zip(ids, roads, strict=True):
        kind = _road_type(road)
        if kind is None:
            continue
        geometry = road["geometry"]
        mine = _xyz([geometry] if isinstance(geometry, Mapping) else geometry)
        points.append(mine)
        features.append(Feature(id=number, type=kind, num_points=len(mine)))
    return features, np.concatenate(points)


def _road_type(road: Mapping[str, Any]) -> RoadType | None:
    with suppress(ValueError):
        return RoadType(road.get("map_element_id", -1))
    return _ROAD_TYPES.get(str(road["type"]))


def _signals(tl_states: Mapping[str, Mapping[str, Any]], steps: int) -> SourceSignals:
    """Signals by lane id; ``time_index`` says which steps have an entry."""
    rows = []
    for lane, data in tl_states.items():
        stops = np.column_stack([data["x"], data["y"], data["z"]])
        for step, state, stop in zip(data["time_index"], data["state"], stops, strict=True):
            if not 0 <= step < steps:
                raise SceneError(f"signal {lane} has an entry at step {step}, but there are {steps} steps")
            rows.append((step, int(lane), _SIGNAL_STATES.get(state, SignalState.UNKNOWN), stop))
    return SourceSignals(
        step=[row[0] for row in rows],
        lane=[row[1] for row in rows],
        state=[row[2] for row in rows],
        stop=np.array([row[3] for row in rows]).reshape(-1, 3),
    )
