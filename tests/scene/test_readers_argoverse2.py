"""An Argoverse 2 scenario and its map, made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trafficgym.scene.readers import Skipped, find_sources, load_scene, read
from trafficgym.scene.scene import AgentType, RoadType

NUM_STEPS = 52


def _line(*points: tuple[float, float]) -> list[dict[str, float]]:
    return [{"x": x, "y": y, "z": 20.0} for x, y in points]


def _lane(id: int, y: float, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "centerline": _line((0, y), (50, y), (100, y)),
        "left_lane_boundary": _line((0, y + 2), (100, y + 2)),
        "right_lane_boundary": _line((0, y - 2), (100, y - 2)),
        "left_lane_mark_type": "NONE",
        "right_lane_mark_type": "NONE",
        "lane_type": "VEHICLE",
        "is_intersection": False,
        "predecessors": [],
        "successors": [],
        "left_neighbor_id": None,
        "right_neighbor_id": None,
    } | more


def _area(x0: float, x1: float) -> dict[str, Any]:
    """Clockwise, as a reader cannot rely on."""
    return {"area_boundary": _line((x0, -2), (x0, 6), (x1, 6), (x1, -2))}


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """The AV for all steps and a pedestrian for two; two lanes side by side; two drivable areas that touch."""
    rows = [("AV", "vehicle", 1, step, 10.0 + step, 0.0) for step in range(NUM_STEPS)]
    rows += [("77", "pedestrian", 3, step, 20.0, 5.0) for step in (50, 51)]
    columns = dict(zip(("track_id", "object_type", "object_category", "timestep", "position_x", "position_y"),
                       map(list, zip(*rows, strict=True)), strict=True))  # fmt: skip
    columns |= {name: [0.25] * len(rows) for name in ("heading", "velocity_x", "velocity_y")}
    columns |= {"scenario_id": ["made"] * len(rows), "num_timestamps": [NUM_STEPS] * len(rows)}
    path = tmp_path / "scenario_made.parquet"
    pq.write_table(pa.table(columns), path)
    lanes = [
        _lane(1, 0.0, left_lane_mark_type="DASHED_WHITE", left_neighbor_id=2, successors=[99]),
        _lane(2, 4.0, right_lane_mark_type="DASHED_WHITE", lane_type="BIKE", right_neighbor_id=1),
    ]
    (tmp_path / "log_map_archive_made.json").write_text(
        json.dumps(
            {
                "lane_segments": {lane["id"]: lane for lane in lanes},
                "drivable_areas": {"5": _area(0, 60), "6": _area(60, 100)},
                "pedestrian_crossings": {
                    "8": {"id": 8, "edge1": _line((0, 0), (0, 4)), "edge2": _line((3, 0), (3, 4))}
                },
            }
        )
    )
    return path


def test_tracks(scenario: Path) -> None:
    scene = load_scene(scenario)
    assert (scene.id, scene.source, scene.current_step, scene.sdc) == ("made", "argoverse2", 49, 0)
    assert scene.origin.tolist() == [59, 0, 0]
    assert scene.tracks.id.tolist() == [0, 1]  # "AV" is no number
    assert scene.tracks.type.tolist() == [AgentType.VEHICLE, AgentType.PEDESTRIAN]
    assert np.flatnonzero(scene.tracks.valid[1]).tolist() == [50, 51]
    assert scene.tracks.x[1, 50] == -39
    assert scene.tracks.to_predict.tolist() == [False, True]
    assert scene.timestamps[-1] == pytest.approx(5.1)


def test_map(scenario: Path) -> None:
    road = load_scene(scenario).road
    assert road.type.tolist() == [
        RoadType.LANE_SURFACE_STREET,
        RoadType.LANE_BIKE,
        RoadType.CROSSWALK,
        RoadType.LINE_BROKEN_SINGLE_WHITE,  # once, though both lanes name it
        RoadType.EDGE_BOUNDARY,  # once, though the areas are two
    ]
    assert not road.xyz[:, 2].any()
    assert not len(road.successors.index)  # lane 99 lies outside the map
    assert road.left_neighbors.of(0).tolist() == [1]
    assert road.left_neighbors.span is not None
    assert road.left_neighbors.span.tolist() == [[0, 2, 0, 2]]
    crossing = road.points(2)[:, :2] + [59, 0]
    assert crossing.tolist() == [[0, 0], [0, 4], [3, 4], [3, 0]]
    assert _signed_area(road.points(4)[:, :2]) == pytest.approx(
        800
    )  # 100 m x 8 m, counter-clockwise: the road is on the left


def _signed_area(ring: np.ndarray) -> float:
    x, y = ring.T.astype(float)
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def test_scenario_and_map_are_one_source(scenario: Path) -> None:
    assert find_sources([scenario.parent]) == [scenario]


def test_bad_files_are_named(scenario: Path) -> None:
    archive = scenario.with_name("log_map_archive_made.json")
    content = archive.read_text()
    archive.write_text(content[:50])
    assert "has a damaged map log_map_archive_made.json" in _reason(scenario)
    archive.write_text("{}")
    assert "without 'lane_segments'" in _reason(scenario)
    archive.unlink()
    assert "put log_map_archive_made.json beside it" in _reason(scenario)
    archive.write_text(content)
    scenario.write_bytes(scenario.read_bytes()[:-20])
    assert "is a damaged parquet file" in _reason(scenario)
    pq.write_table(pa.table({"a": [1]}), scenario)
    assert "without the column 'track_id'" in _reason(scenario)


def _reason(path: Path) -> str:
    (item,) = read(path)
    assert isinstance(item, Skipped)
    return item.reason
