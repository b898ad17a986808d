"""GPUDrive and Nocturne JSON, made by hand."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trafficgym.scene.readers import Skipped, load_scene, read
from trafficgym.scene.scene import RoadType, Scene, SignalState


def make_gpudrive(steps: int = 12) -> dict[str, Any]:
    """A vehicle, which is the SDC, and a pedestrian that is valid at the last step only; one lane with a signal."""

    def thing(id: int, kind: str, valid: list[bool]) -> dict[str, Any]:
        return {
            "position": [_xyz(100.0 + t, 50.0, 2.0) if ok else _xyz(-10000.0) for t, ok in enumerate(valid)],
            "velocity": [{"x": 10.0, "y": 0.0} if ok else {"x": -10000.0, "y": -10000.0} for ok in valid],
            "heading": [0.5 if ok else -10000.0 for ok in valid],
            "valid": valid,
            "width": 2.0,
            "length": 4.0,
            "height": 1.5,
            "id": id,
            "type": kind,
            "goalPosition": _xyz(0.0),
        }

    lane = {"type": "lane", "map_element_id": 2, "id": 30, "geometry": [_xyz(100.0, 50.0), _xyz(150.0, 50.0)]}
    sign = {"type": "stop_sign", "map_element_id": 17, "id": 31, "geometry": [_xyz(149.0, 47.0)]}
    odd = {"type": "tunnel", "map_element_id": 99, "id": 32, "geometry": [_xyz(0.0)]}
    signal = {"state": ["arrow_stop", "go"], "time_index": [5, 7], "x": [150.0] * 2, "y": [50.0] * 2, "z": [2.0] * 2}
    return {
        "name": "tfrecord_1.json",
        "scenario_id": "made",
        "objects": [
            thing(7, "vehicle", [True] * steps),
            thing(8, "pedestrian", [False] * (steps - 1) + [True]),
        ],
        "roads": [lane, sign, odd],
        "tl_states": {"30": signal},
        "metadata": {
            "sdc_track_index": 0,
            "objects_of_interest": [8],
            "tracks_to_predict": [{"track_index": 1, "difficulty": 2}],
        },
    }


def make_nocturne() -> dict[str, Any]:
    """The same, as Nocturne would have it."""
    data = make_gpudrive()
    for key in ("scenario_id", "metadata"):
        del data[key]
    data["tl_states"] = {}
    for thing in data["objects"]:
        del thing["height"], thing["id"]
        thing["heading"] = [90.0 if ok else -10000.0 for ok in thing["valid"]]
        thing["position"] = [{"x": p["x"], "y": p["y"]} for p in thing["position"]]
    for road in data["roads"]:
        del road["map_element_id"], road["id"]
        road["geometry"] = [{"x": p["x"], "y": p["y"]} for p in road["geometry"]]
    return data


def _xyz(x: float, y: float | None = None, z: float = 2.0) -> dict[str, float]:
    return {"x": x, "y": x if y is None else y, "z": x if y is None else z}


def item_of(tmp_path: Path, data: Any) -> Scene | Skipped:
    path = tmp_path / "scene"
    path.write_text(json.dumps(data))
    (item,) = read(path)
    return item


def scene_of(tmp_path: Path, data: Any) -> Scene:
    scene = item_of(tmp_path, data)
    assert isinstance(scene, Scene), scene
    return scene


def test_gpudrive(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, make_gpudrive())
    assert (scene.id, scene.source, scene.sdc, scene.current_step) == ("made", "gpudrive", 0, 10)
    assert scene.origin.tolist() == [110, 50, 2]
    np.testing.assert_array_equal(scene.tracks.x[0], np.arange(12) - 10)
    assert scene.tracks.id.tolist() == [7, 8]
    assert scene.tracks.difficulty.tolist() == [0, 2]
    assert scene.tracks.of_interest.tolist() == [False, True]
    for name in ("x", "y", "z", "yaw", "vx", "vy", "length", "width", "height"):
        assert not getattr(scene.tracks, name)[1, :-1].any(), name
    assert scene.tracks.yaw[1, -1] == 0.5
    assert scene.road.type.tolist() == [RoadType.LANE_SURFACE_STREET, RoadType.STOP_SIGN]
    assert scene.road.points(1).tolist() == [[39, -3, 0]]
    assert not scene.road.has_lane_graph
    assert np.flatnonzero(scene.signals.valid[0]).tolist() == [5, 7]
    assert scene.signals.state[0, [5, 7]].tolist() == [SignalState.ARROW_STOP, SignalState.GO]
    assert scene.signals.stop[0, 7].tolist() == [40, 0, 0]


def test_nocturne_headings_are_degrees(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, make_nocturne())
    assert (scene.id, scene.source, scene.sdc) == ("tfrecord_1", "nocturne", None)
    assert scene.origin.tolist() == [110, 50, 0]
    assert scene.tracks.id.tolist() == [0, 1]
    assert scene.tracks.yaw[0] == pytest.approx(math.pi / 2)
    assert not scene.tracks.z.any()
    assert (scene.tracks.height[scene.tracks.valid] > 1).all()
    assert scene.road.type.tolist() == [RoadType.LANE_UNDEFINED, RoadType.STOP_SIGN]


def test_nocturne_ego_idx_is_the_sdc(tmp_path: Path) -> None:
    assert scene_of(tmp_path, make_nocturne() | {"ego_idx": 0}).sdc == 0


def test_older_gpudrive_headings_are_degrees(tmp_path: Path) -> None:
    data = make_gpudrive()
    data["objects"][0]["heading"][3] = -270.0
    assert scene_of(tmp_path, data).tracks.yaw[0, 3] == pytest.approx(math.pi / 2)


def test_a_size_of_zero_becomes_typical(tmp_path: Path) -> None:
    data = make_gpudrive()
    data["objects"][1] |= {"length": 0.0, "width": 0.0}
    tracks = scene_of(tmp_path, data).tracks
    assert tracks.length[1, -1] == pytest.approx(0.7)
    assert tracks.height[1, -1] == 1.5


def test_indices_beyond_the_tracks_say_nothing(tmp_path: Path) -> None:
    data = make_gpudrive()
    data["metadata"]["sdc_track_index"] = 2
    scene = scene_of(tmp_path, data)
    assert scene.sdc is None
    assert not scene.tracks.to_predict.any()


def test_history_alone_is_a_scene(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, make_gpudrive(steps=11))
    assert (scene.num_steps, scene.current_step) == (11, 10)


def test_a_scene_without_a_map_is_a_scene(tmp_path: Path) -> None:
    assert scene_of(tmp_path, make_gpudrive() | {"roads": []}).road.num_features == 0


def test_gzip_is_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "scene.json"
    path.write_bytes(gzip.compress(json.dumps(make_gpudrive()).encode()))
    assert load_scene(path).id == "made"


def _uneven(data: dict[str, Any]) -> None:
    for key in ("position", "velocity", "heading", "valid"):
        data["objects"][1][key].pop()


def _nan(data: dict[str, Any]) -> None:
    data["objects"][0]["position"][4]["x"] = math.nan


def _late_signal(data: dict[str, Any]) -> None:
    data["tl_states"]["30"]["time_index"][1] = 12


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda d: d.pop("roads"), "is JSON without 'roads'"),
        (lambda d: d.update(objects=[]), "has no objects"),
        (lambda d: d["objects"][0].pop("heading"), "is not laid out as its format says (KeyError: 'heading')"),
        (lambda d: d["objects"][1].update(id=7), "track id 7 occurs 2 times"),
        (lambda d: d["objects"][0].update(position=3), "is not laid out as its format says (TypeError"),
        (_uneven, "its objects have different numbers of steps: [11, 12]"),
        (_nan, "track 7 has a x that is not finite at step 4"),
        (_late_signal, "signal 30 has an entry at step 12, but there are 12 steps"),
    ],
)
def test_bad_content_is_named(tmp_path: Path, spoil, reason: str) -> None:
    data = make_gpudrive()
    spoil(data)
    item = item_of(tmp_path, data)
    assert isinstance(item, Skipped)
    assert reason in item.reason


def test_truncated_json_and_maps_are_named(tmp_path: Path) -> None:
    path = tmp_path / "scene.json"
    path.write_text(json.dumps(make_gpudrive())[:200])
    (item,) = read(path)
    assert isinstance(item, Skipped)
    assert item.reason.startswith("is damaged JSON")
    assert "is the map of an Argoverse 2 scenario" in str(item_of(tmp_path, {"lane_segments": {}}))
