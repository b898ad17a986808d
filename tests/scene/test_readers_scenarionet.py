"""ScenarioNet pickles: what the unpickler admits, a hand-made scene, and the facts of the real ones."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trafficgym.errors import SceneError
from trafficgym.scene.readers import Skipped, load_scene, read
from trafficgym.scene.readers.unpickle import load_pickle
from trafficgym.scene.scene import RoadType, Scene, SignalState, scenes_equal


def make_pickle() -> dict[str, Any]:
    """A vehicle, which is the SDC, and a traffic cone on one lane, 3 steps, in ScenarioNet's dictionaries."""
    steps = 3

    def track(kind: str, x: float) -> dict[str, Any]:
        state = {
            "position": np.array([[x + step, 7.0, 1.0] for step in range(steps)], np.float32),
            "heading": np.zeros(steps, np.float32),
            "velocity": np.full((steps, 2), 10.0, np.float32),
            "valid": np.array([True, True, False]),
            **{key: np.full(steps, size, np.float32) for key, size in (("length", 4), ("width", 2), ("height", 1))},
        }
        return {"type": kind, "state": state, "metadata": {"type": kind}}

    lane = {
        "type": "LANE_SURFACE_STREET",
        "polyline": np.array([[100, 7, 1], [120, 7, 1]], np.float32),
        "speed_limit_mph": 10.0,
        "entry_lanes": [],
        "exit_lanes": [6],
        "left_neighbor": [
            {"feature_id": 6, "self_start_index": 0, "self_end_index": 1, "neighbor_start_index": 1,
             "neighbor_end_index": 1}
        ],
    }  # fmt: skip
    return {
        "id": "outer",
        "length": steps,
        "metadata": {
            "dataset": "waymo", "scenario_id": "made", "sdc_id": "40", "current_time_index": 1,
            "ts": np.array([5.0, 5.1, 5.2], np.float32), "objects_of_interest": ["41"],
            "tracks_to_predict": {"41": {"difficulty": 1, "track_index": 1}}, "summary": defaultdict(int),
        },
        "tracks": {"40": track("VEHICLE", 100), "41": track("TRAFFIC_CONE", 110)},
        "map_features": {
            "5": lane,
            "6": {"type": "UNKNOWN", "polyline": np.array([[120, 7, 1], [130, 7, 1]]), "entry_lanes": [5]},
            "7": {"type": "SIDEWALK", "polygon": np.zeros((3, 3))},
            "8": {"type": "STOP_SIGN", "position": np.array([119.0, 9.0, 1.0]), "lane": [5]},
        },
        "dynamic_map_states": {
            "6": {"lane": 6, "type": "TRAFFIC_LIGHT", "stop_point": np.array([120, 7, 1], np.float32),
                  "state": {"object_state": [None, "LANE_STATE_STOP", "TRAFFIC_LIGHT_GREEN"]}},
        },
    }  # fmt: skip


def scene_of(tmp_path: Path, data: Any) -> Scene | Skipped:
    path = tmp_path / "scene.pkl"
    path.write_bytes(pickle.dumps(data))
    (item,) = read(path)
    return item


def reason_of(tmp_path: Path, data: Any) -> str:
    item = scene_of(tmp_path, data)
    assert isinstance(item, Skipped)
    return item.reason


def test_hand_made_scene(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, make_pickle())
    assert isinstance(scene, Scene)
    assert (scene.id, scene.current_step, scene.sdc) == ("made", 1, 0)
    assert scene.origin.tolist() == [101, 7, 1]
    assert scene.tracks.x.tolist() == [[-1, 0, 1], [9, 10, 11]]
    assert scene.tracks.type.tolist() == [1, 4]
    assert scene.tracks.to_predict.tolist() == [False, True]
    assert scene.tracks.of_interest.tolist() == [False, True]
    assert scene.road.id.tolist() == [5, 6, 8]  # a sidewalk has no place in a RoadMap
    assert scene.road.type.tolist() == [RoadType.LANE_SURFACE_STREET, RoadType.LANE_UNDEFINED, RoadType.STOP_SIGN]
    assert scene.road.successors.of(0).tolist() == [1]
    assert scene.road.stop_lanes.of(2).tolist() == [0]
    assert scene.road.speed_limit[0] == pytest.approx(4.4704)  # 10 mph
    assert scene.signals.valid.tolist() == [[False, True, True]]
    assert scene.signals.state.tolist() == [[0, SignalState.STOP, SignalState.GO]]
    assert scene.signals.stop[0, 1].tolist() == [19, 0, 0]
    assert scene.signals.lane.tolist() == [1]


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickles_of_numpy_1_and_2(tmp_path: Path, core: str, protocol: int) -> None:
    """The same pickle under either name of NumPy's core; the lengths of short strings stand before them."""
    data = pickle.dumps(make_pickle(), protocol=protocol)
    for name in (b"multiarray", b"numeric"):
        old, new = (f"{c}.".encode() + name for c in ("numpy._core", core))
        data = data.replace(_short(old, protocol), _short(new, protocol))
    path = tmp_path / "scene.pkl"
    # Frames of protocol 4 carry their length, which is no longer right where a name has changed.
    path.write_bytes(data if protocol == 3 else _without_frames(data))
    assert core.encode() in path.read_bytes()
    assert load_scene(path).id == "made"


def _short(text: bytes, protocol: int) -> bytes:
    return b"c" + text + b"\n" if protocol < 4 else b"\x8c" + bytes([len(text)]) + text


def _without_frames(data: bytes) -> bytes:
    assert data[2:3] == b"\x95"
    return data[:2] + data[11:]


class Harmful:
    """Unpickles to a call that would leave a file behind."""

    def __init__(self, function: Any, argument: str) -> None:
        self._call = function, (argument,)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return self._call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, os.mkdir, eval, np.load, sys.exit], ids=lambda f: f.__name__)
def test_hostile_pickle_is_named_and_not_run(tmp_path: Path, protocol: int, function: Any) -> None:
    trace = tmp_path / "trace"
    argument = {"mkdir": str(trace), "eval": f"open({str(trace)!r}, 'w')"}.get(function.__name__, f"touch {trace}")
    path = tmp_path / "scene.pkl"
    path.write_bytes(pickle.dumps({"tracks": Harmful(function, argument), "map_features": {}}, protocol=protocol))
    (item,) = read(path)
    assert isinstance(item, Skipped)
    assert function.__name__ in item.reason
    assert "nothing was run" in item.reason
    assert not trace.exists()


def test_a_dotted_name_does_not_get_around_the_list(tmp_path: Path) -> None:
    path = tmp_path / "scene.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.")
    (item,) = read(path)
    assert isinstance(item, Skipped)
    assert "numpy.ndarray.tofile" in item.reason


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(3, dtype=">i2"),
        np.array([True, False]),
        np.array(["a", "bc"]),
        np.zeros((0, 3), np.float32),
    ],
    ids=str,
)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_survive_the_stand_ins(array: np.ndarray, protocol: int) -> None:
    loaded = np.asarray(load_pickle(io.BytesIO(pickle.dumps(array, protocol=protocol))))
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")


def test_scalars_are_read_and_arrays_of_objects_are_not() -> None:
    assert load_pickle(io.BytesIO(pickle.dumps({"a": np.float32(1.5)}))) == {"a": 1.5}
    with pytest.raises(SceneError, match="holds an array of 'O8'"):
        load_pickle(io.BytesIO(pickle.dumps(np.array([None, "a"], object))))


PICKLE = pickle.dumps(make_pickle())


@given(st.lists(st.tuples(st.integers(2, len(PICKLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_no_damage_raises_anything_but_a_scene_error(edits: list[tuple[int, int]]) -> None:
    """NumPy's own functions crash the process on some of these."""
    data = bytearray(PICKLE)
    for at, value in edits:
        data[at] = value
    with suppress(SceneError):
        load_pickle(io.BytesIO(bytes(data)))


def test_damage_and_other_pickles_are_named(tmp_path: Path) -> None:
    data = pickle.dumps(make_pickle())
    path = tmp_path / "cut.pkl"
    for keep in (3, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:keep])
        (item,) = read(path)
        assert isinstance(item, Skipped)
        assert item.reason.startswith("is a damaged pickle")
    assert "is a pickle without 'tracks'" in reason_of(tmp_path, {"scene_1": {}})
    assert "is a pickle without 'tracks'" in reason_of(tmp_path, [1, 2])
    assert "is not laid out as its format says (KeyError: 'state')" in reason_of(
        tmp_path, {"tracks": {"1": {}}, "map_features": {}}
    )


def test_gzip_is_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "scene"
    path.write_bytes(gzip.compress(pickle.dumps(make_pickle())))
    assert load_scene(path).id == "made"


def test_dangling_lanes_are_an_error_in_womd_and_dropped_in_crops(tmp_path: Path) -> None:
    data = make_pickle()
    data["map_features"]["5"]["exit_lanes"] = [6, 99]
    assert "lane 5 names missing exit lane 99" in reason_of(tmp_path, data)
    data["metadata"]["dataset"] = "nuplan"
    scene = scene_of(tmp_path, data)
    assert isinstance(scene, Scene)
    assert scene.road.successors.of(0).tolist() == [1]


def test_other_errors_are_named(tmp_path: Path) -> None:
    data = make_pickle()
    data["metadata"]["ts"] = data["metadata"]["ts"][:2]
    assert "there are 2 timestamps, but 3 steps" in reason_of(tmp_path, data)
    data = make_pickle()
    data["tracks"]["40"]["state"]["position"][0, 0] = np.nan
    assert "track 40 has a x that is not finite at step 0" in reason_of(tmp_path, data)
    data = make_pickle()
    for track in data["tracks"].values():
        track["state"]["valid"][:] = False
    assert "no agent is valid" in reason_of(tmp_path, data)
    data["tracks"] = {}
    assert "has no tracks" in reason_of(tmp_path, data)


def test_ids_that_are_tokens_become_a_running_index(tmp_path: Path) -> None:
    data = make_pickle()
    data["tracks"] = {"ego": data["tracks"]["40"], "41": data["tracks"]["41"]}
    data["metadata"]["sdc_id"] = "ego"
    features = data["map_features"]
    data["map_features"] = {"token": features["5"], "6": features["6"]}
    features["6"]["entry_lanes"] = ["token"]
    data["dynamic_map_states"]["6"]["lane"] = "6"
    scene = scene_of(tmp_path, data)
    assert isinstance(scene, Scene)
    assert scene.tracks.id.tolist() == [0, 1]
    assert scene.tracks.of_interest.tolist() == [False, True]
    assert scene.sdc == 0
    assert scene.road.predecessors.of(1).tolist() == [0]
    assert scene.signals.lane.tolist() == [1]


def test_same_womd_scene_from_pickle_and_tfrecord(data_root: Path) -> None:
    """They agree to the bit but for timestamps, which are float32 in the pickles of 20 s scenes."""
    data = data_root / "data"
    converted = {s.id: s for f in sorted((data / "womd_converted").glob("*tfrecord*")) for s in read(f)
                 if isinstance(s, Scene)}  # fmt: skip
    pickles = sorted([*(data / "scenarionet").glob("*.pkl"), *(data / "scenarionet_20s").glob("*.pkl")])
    assert len(pickles) == len(converted) == 27
    for path in pickles:
        scene = load_scene(path)
        object.__setattr__(scene, "source", "womd")
        assert scenes_equal(scene, converted[scene.id], atol=1e-6) is None


def test_nuscenes(data_root: Path) -> None:
    for path in sorted((data_root / "data" / "scenarionet_nuscenes").glob("*.pkl")):
        scene = load_scene(path)
        assert scene.sdc is not None
        assert scene.tracks.length[scene.sdc, 0] == pytest.approx(4.08)
        assert scene.tracks.width[scene.sdc, 0] == pytest.approx(1.73)
        assert not scene.road.xyz[:, 2].any()
        assert not scene.road.speed_limit.any()
        assert np.allclose(np.diff(scene.timestamps), 0.1)
