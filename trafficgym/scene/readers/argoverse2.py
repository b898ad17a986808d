"""Argoverse 2 motion forecasting: one parquet file of tracks and the JSON map beside it.

Tracks have no heights and no sizes: sizes are typical of the type, and the whole scene is flat (z is 0), since lane
centre lines have no z either. 110 steps at 10 Hz, of which the first 50 are history. Vehicles and buses are
VEHICLE; motorcyclists and cyclists are CYCLIST; everything that nobody drives is OTHER. The focal track is to be
predicted at difficulty 0, scored tracks at 1; the track "AV" is the SDC.

Lane segments give lanes and the lane graph, and painted lines where their borders are marked; the outline of all
drivable areas together gives road edges; the map is cut around the scene, so that links to lanes outside are
dropped. There are no speed limits and no signals.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from trafficgym.errors import SceneError
from trafficgym.scene.readers.build import (
    TYPICAL_SIZE,
    Feature,
    Neighbor,
    SourceTracks,
    build_road,
    integer_ids,
    regular_timestamps,
)
from trafficgym.scene.scene import AgentType, RoadType, Scene, Signals

CURRENT_STEP = 49
_SDC = "AV"
_DIFFICULTY = {3: 0, 2: 1}  # object_category: focal, scored

_COLUMNS = ("track_id", "object_type", "object_category", "timestep", "position_x", "position_y", "heading",
            "velocity_x", "velocity_y", "scenario_id", "num_timestamps")  # fmt: skip

_AGENT_TYPES = {
    "vehicle": AgentType.VEHICLE,
    "bus": AgentType.VEHICLE,
    "pedestrian": AgentType.PEDESTRIAN,
    "cyclist": AgentType.CYCLIST,
    "motorcyclist": AgentType.CYCLIST,
    "unknown": AgentType.UNSET,
}
_LANE_TYPES = {"BIKE": RoadType.LANE_BIKE}  # VEHICLE and BUS lanes are surface streets
_LINE_TYPES = {
    "NONE": None,
    "DASHED_WHITE": RoadType.LINE_BROKEN_SINGLE_WHITE,
    "SOLID_WHITE": RoadType.LINE_SOLID_SINGLE_WHITE,
    "DOUBLE_SOLID_WHITE": RoadType.LINE_SOLID_DOUBLE_WHITE,
    "DASHED_YELLOW": RoadType.LINE_BROKEN_SINGLE_YELLOW,
    "DOUBLE_DASH_YELLOW": RoadType.LINE_BROKEN_DOUBLE_YELLOW,
    "SOLID_YELLOW": RoadType.LINE_SOLID_SINGLE_YELLOW,
    "DOUBLE_SOLID_YELLOW": RoadType.LINE_SOLID_DOUBLE_YELLOW,
    "DASH_SOLID_YELLOW": RoadType.LINE_PASSING_DOUBLE_YELLOW,
    "SOLID_DASH_YELLOW": RoadType.LINE_PASSING_DOUBLE_YELLOW,
}


def map_path(parquet: Path) -> Path:
    """Where the map of a scenario lies: ``log_map_archive_ID.json`` beside ``scenario_ID.parquet``."""
    return parquet.with_name(f"log_map_archive_{parquet.stem.removeprefix('scenario_')}.json")


@np.errstate(over="ignore", invalid="ignore")  # what overflows is found by validation
def load_argoverse2(path: Path) -> Scene:
    """Read one Argoverse 2 scenario with its map.

    Raises:
        SceneError: one of the two files is damaged or missing, or they hold no valid scene.
    """
    table = _read_table(path)
    tracks = _tracks(table)
    steps = tracks.valid.shape[1]
    current = min(CURRENT_STEP, steps - 1)
    origin = tracks.origin(current)
    features, xyz = _features(_read_map(map_path(path)))
    return Scene(
        id=str(table["scenario_id"][0]),
        source="argoverse2",
        origin=origin,
        timestamps=regular_timestamps(steps),
        current_step=current,
        tracks=tracks.in_scene_frame(origin),
        road=build_road(features, xyz, origin, cropped=True),
        signals=Signals.empty(steps),
    )


def _read_table(path: Path) -> dict[str, NDArray[Any]]:
    try:
        file = pq.ParquetFile(path)
        missing = [column for column in _COLUMNS if column not in file.schema_arrow.names]
        if missing:
            raise SceneError(f"is a parquet file without the column {missing[0]!r} and so no Argoverse 2 scenario")
        table = file.read(columns=list(_COLUMNS))
    except (pa.ArrowException, OSError) as error:
        raise SceneError(f"is a damaged parquet file ({error}); download the file again") from None
    if table.num_rows == 0:
        raise SceneError("has no tracks; there is nothing to simulate")
    return {name: table[name].to_numpy() for name in _COLUMNS}


def _read_map(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SceneError(f"has no map: put {path.name} beside it") from None
    except (ValueError, RecursionError) as error:
        raise SceneError(f"has a damaged map {path.name} ({error}); download the file again") from None
    if not isinstance(data, dict) or "lane_segments" not in data:
        raise SceneError(f"has a map {path.name} without 'lane_segments'; download the file again")
    return data


def _tracks(table: Mapping[str, NDArray[Any]]) -> SourceTracks:
    names = list(dict.fromkeys(table["track_id"]))
    row_of = {name: row for row, name in enumerate(names)}
    row = np.array([row_of[name] for name in table["track_id"]])
    step = table["timestep"].astype(np.int64)
    shape = (len(names), int(table["num_timestamps"][0]))
    if step.min() < 0 or step.max() >= shape[1]:
        raise SceneError(f"has a state at step {step.max()}, but {shape[1]} steps")
    valid = np.zeros(shape, bool)
    valid[row, step] = True

    def grid(column: str) -> NDArray[np.float64]:
        values = np.zeros(shape)
        values[row, step] = table[column]
        return values

    first = np.unique(row, return_index=True)[1]
    types = [_AGENT_TYPES.get(kind, AgentType.OTHER) for kind in table["object_type"][first]]
    size = np.array([TYPICAL_SIZE[kind] for kind in types])
    length, width, height = (np.where(valid, column[:, None], 0.0) for column in size.T)
    category = table["object_category"][first]
    return SourceTracks(
        id=integer_ids(names),
        type=types,
        x=grid("position_x"),
        y=grid("position_y"),
        z=np.zeros(shape),
        yaw=grid("heading"),
        vx=grid("velocity_x"),
        vy=grid("velocity_y"),
        length=length,
        width=width,
        height=height,
        valid=valid,
        sdc=row_of.get(_SDC),
        to_predict={i: _DIFFICULTY[c] for i, c in enumerate(category) if c in _DIFFICULTY},
    )


def _features(data: Mapping[str, Any]) -> tuple[list[Feature], NDArray[np.float64]]:
    """Lanes, crossings, painted lines and road edges, and their points float64 ``[P, 3]`` m in the city's frame."""
    features, points = [], [np.zeros((0, 3))]
    for feature, mine in (*_lanes(data), *_crossings(data), *_without_ids(data)):
        feature.num_points = len(mine)
        features.append(feature)
        points.append(np.column_stack([mine, np.zeros(len(mine))]))
    return features, np.concatenate(points)


def _lanes(data: Mapping[str, Any]) -> Iterator[tuple[Feature, NDArray[np.float64]]]:
    for lane in data["lane_segments"].values():
        kind = _LANE_TYPES.get(lane["lane_type"], RoadType.LANE_SURFACE_STREET)
        feature = Feature(id=int(lane["id"]), type=kind, num_points=0)
        feature.interpolating = bool(lane["is_intersection"])
        feature.exits, feature.entries = lane["successors"], lane["predecessors"]
        feature.left, feature.right = (_neighbor(lane[f"{side}_neighbor_id"]) for side in ("left", "right"))
        yield feature, _xy(lane["centerline"])


def _neighbor(lane: int | None) -> list[Neighbor]:
    """The source names one neighbour for the whole lane, without spans."""
    return [] if lane is None else [Neighbor(lane=lane)]


def _crossings(data: Mapping[str, Any]) -> Iterator[tuple[Feature, NDArray[np.float64]]]:
    for crossing in data.get("pedestrian_crossings", {}).values():
        outline = np.concatenate([_xy(crossing["edge1"]), _xy(crossing["edge2"])[::-1]])
        yield Feature(id=int(crossing["id"]), type=RoadType.CROSSWALK, num_points=0), outline


def _without_ids(data: Mapping[str, Any]) -> Iterator[tuple[Feature, NDArray[np.float64]]]:
    """Lines and edges, which the source does not number; they get ids -1, -2, ..."""
    found = [*_painted_lines(data), *((RoadType.EDGE_BOUNDARY, edge) for edge in _road_edges(data))]
    for number, (kind, points) in enumerate(found, start=1):
        yield Feature(id=-number, type=kind, num_points=0), points


def _painted_lines(data: Mapping[str, Any]) -> Iterator[tuple[RoadType, NDArray[np.float64]]]:
    """Marked borders of lanes; one that two lanes share appears once."""
    seen = set()
    for lane in data["lane_segments"].values():
        for side in ("left", "right"):
            kind = _LINE_TYPES.get(lane[f"{side}_lane_mark_type"], RoadType.LINE_UNKNOWN)
            points = _xy(lane[f"{side}_lane_boundary"])
            ends = frozenset({tuple(points[0]), tuple(points[-1])}) if len(points) else frozenset()
            if kind is not None and ends not in seen:
                seen.add(ends)
                yield kind, points


def _road_edges(data: Mapping[str, Any]) -> Iterator[NDArray[np.float64]]:
    """Outlines of the union of all drivable areas, which touch and overlap, with the drivable side on the left."""
    try:
        areas = [shapely.Polygon(_xy(area["area_boundary"])) for area in data.get("drivable_areas", {}).values()]
        union = shapely.unary_union([shapely.make_valid(area) for area in areas])
    except (shapely.errors.ShapelyError, ValueError) as error:
        raise SceneError(f"has a drivable area that is no polygon ({error}); download its map again") from None
    for part in shapely.get_parts(union):
        if isinstance(part, shapely.Polygon):
            oriented = shapely.geometry.polygon.orient(part)
            for ring in (oriented.exterior, *oriented.interiors):
                yield np.array(ring.coords)[:, :2]


def _xy(points: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    return np.array([(p["x"], p["y"]) for p in points], np.float64).reshape(-1, 2)
