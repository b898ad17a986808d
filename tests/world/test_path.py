"""Paths on hand-made lane graphs, and on real scenes against what the drivers did."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from trafficgym.scene.readers import read
from trafficgym.scene.scene import AgentType, Links, RoadMap, RoadType, Scene
from trafficgym.world.path import LaneGraph, lane_path, log_path, path_of

NOW = 10


def track_of(scene: Scene, **values: np.ndarray | float) -> Scene:
    """The scene with the log of its track 0 replaced."""
    changed = {}
    for name, value in values.items():
        array = getattr(scene.tracks, name).copy()
        array[0] = value
        changed[name] = array
    return replace(scene, tracks=replace(scene.tracks, **changed))


def fork() -> RoadMap:
    """A lane from x = 0 to 40 that forks: straight on to x = 120, or in a quarter circle of 20 m to the left.

    Feature 0 is the lane, 1 the left turn, 2 the straight one, 3 follows the turn north; another lane (4) runs
    6 m above the first.
    """
    turn = np.linspace(0, math.pi / 2, 33)
    level = np.zeros(81)
    lanes = [
        np.stack([np.linspace(0, 40, 81), level, level], 1),
        np.stack([40 + 20 * np.sin(turn), 20 - 20 * np.cos(turn), 0 * turn], 1),
        np.stack([np.linspace(40, 120, 81), level, level], 1),
        np.stack([level + 60, np.linspace(20, 60, 81), level], 1),
        np.stack([np.linspace(0, 40, 81), level, level + 6], 1),
    ]
    none = Links.empty(5)
    return RoadMap(
        xyz=np.concatenate(lanes).astype(np.float32),
        offsets=np.cumsum([0, *map(len, lanes)], dtype=np.int32),
        id=np.arange(5),
        type=np.full(5, RoadType.LANE_SURFACE_STREET, np.int8),
        speed_limit=np.array([10, 5, 15, 20, 30], np.float32),
        interpolating=np.zeros(5, bool),
        successors=Links.from_lists([[1, 2], [3], [], [], []]),
        predecessors=none,
        left_neighbors=none,
        right_neighbors=none,
        stop_lanes=none,
    )


def at_fork(x: float = 20.0, y: float = 0.0, *, future_x: float, future_y: float) -> Scene:
    """A vehicle at (x, y) now whose log goes in a straight line to a later place."""
    scene = replace(make_scene(num_agents=1), road=fork(), signals=make_scene().signals)
    scene = replace(scene, signals=type(scene.signals).empty(scene.num_steps))
    part = np.clip((np.arange(scene.num_steps) - NOW) / 80, 0, 1)
    return track_of(scene, x=x + part * (future_x - x), y=y + part * (future_y - y))


def test_path_starts_at_the_agent_and_keeps_its_spacing_and_length() -> None:
    path = path_of(make_scene(), 0, NOW)
    assert path.dtype == np.float32
    assert path.shape == (256, 3)
    np.testing.assert_allclose(path[:, 0], 20 + 2.0 * np.arange(256), atol=1e-3)  # beyond the map's end at 200 too
    np.testing.assert_allclose(path[:, 1], 0, atol=1e-4)
    assert (path[:89, 2] == 15).all()


@pytest.mark.parametrize(("future", "limit"), [((110.0, 0.0), 15.0), ((60.0, 55.0), 20.0)])
def test_at_a_fork_the_logged_future_decides(future: tuple[float, float], limit: float) -> None:
    scene = at_fork(future_x=future[0], future_y=future[1])
    path = lane_path(scene, 0, NOW, num_points=41)  # 80 m: 20 to the fork, 31.4 round the bend, 28.6 to the north
    assert path is not None
    assert path[40, 2] == limit
    expected = (100.0, 0.0) if limit == 15.0 else (60.0, 20 + 80 - 20 - 10 * math.pi)
    assert path[40, :2] == pytest.approx(expected, abs=0.1)
    np.testing.assert_allclose(np.hypot(*np.diff(path[:, :2], axis=0).T), 2.0, atol=0.02)


def test_without_a_future_the_straightest_lane_is_taken() -> None:
    path = lane_path(at_fork(future_x=20.0, future_y=0.0), 0, NOW, num_points=41)
    assert path is not None
    assert path[40, :2] == pytest.approx((100.0, 0.0), abs=0.1)


def test_the_offset_from_the_lane_fades_without_a_jump() -> None:
    path = lane_path(at_fork(y=1.5, future_x=110.0, future_y=0.0), 0, NOW)
    assert path is not None
    assert path[0, :2] == pytest.approx((20.0, 1.5))
    assert path[5, 1] == pytest.approx(0.75, abs=0.05)  # half of it after half of the 20 m
    assert abs(path[11:, 1]).max() < 1e-3
    assert abs(np.diff(path[:, 1])).max() < 0.25


@pytest.mark.parametrize(
    "change",
    [{"y": 3.0}, {"yaw": math.radians(60)}, {"z": 4.6 + 0.75}],
    ids=["2.5 m aside", "turned by 50 degrees", "3 m above one lane, 2 m below another: the other"],
)
def test_an_agent_is_on_a_lane_only_near_its_line_direction_and_level(change: dict[str, float]) -> None:
    path = lane_path(track_of(at_fork(future_x=30.0, future_y=0.0), **change), 0, NOW)
    if "z" in change:
        assert path is not None
        assert path[3, 2] == 30  # the upper lane's limit
    else:
        assert path is None


def test_log_path_ignores_the_jitter_of_a_stop() -> None:
    scene = at_fork(future_x=20.0, future_y=0.0)
    noise = np.random.default_rng(1).normal(0, 0.05, (2, 91))
    drive = np.clip(np.arange(91) - 50, 0, 20) + np.clip(np.arange(91) - 80, 0, 10)  # waits, 20 m, waits, 10 m
    path = log_path(track_of(scene, x=20 + drive + noise[0], y=noise[1]), 0, NOW, num_points=20)
    assert (np.diff(path[:, 0]) > 1.9).all()
    assert abs(path[:, 1]).max() < 0.5
    assert (path[:, 2] == 0).all()


def test_log_path_of_a_parked_car_goes_straight_ahead() -> None:
    path = log_path(track_of(at_fork(future_x=20.0, future_y=0.0), yaw=math.pi / 2), 0, NOW, num_points=6)
    np.testing.assert_allclose(path[:, :2], [[20, 2 * k] for k in range(6)], atol=1e-4)


def test_pedestrians_and_maps_without_a_graph_follow_the_log() -> None:
    scene = at_fork(future_x=60.0, future_y=55.0)
    walking = replace(scene, tracks=replace(scene.tracks, type=np.array([AgentType.PEDESTRIAN], np.int8)))
    no_graph = replace(scene, road=replace(scene.road, successors=Links.empty(5)))
    for changed in (walking, no_graph):
        np.testing.assert_array_equal(path_of(changed, 0, NOW), log_path(scene, 0, NOW))


def test_real_drivers_stay_near_the_paths_that_they_are_given(data_root: Path) -> None:
    lane_errors, log_errors, turns = [], [], []
    for scene in islice(read(data_root / "data/womd_converted/womd_converted_dev.tfrecord-00000-of-00002"), 8):
        assert isinstance(scene, Scene)
        graph, tracks, now = LaneGraph(scene.road), scene.tracks, scene.current_step
        for track in np.flatnonzero(tracks.valid[:, now:].all(1) & (tracks.type == AgentType.VEHICLE)):
            xy = np.stack([tracks.x[track, now:], tracks.y[track, now:]], axis=1)
            if math.hypot(*(xy[-1] - xy[0])) < 5:
                continue
            log_errors.append(deviation(log_path(scene, track, now), xy))
            path = lane_path(scene, track, now, graph=graph)
            if path is not None:
                lane_errors.append(deviation(path, xy))
                heading = np.unwrap(np.arctan2(*np.diff(path[:, :2], axis=0).T[::-1]))
                turns.append(abs(np.diff(heading)).max())
    assert len(lane_errors) > 20
    assert len(lane_errors) > 0.9 * len(log_errors)
    assert np.median(lane_errors) < 0.4
    assert np.median(log_errors) < 0.1
    assert np.max(turns) < 0.8  # rad per 2 m: no kinks where lanes meet


def deviation(path: np.ndarray, xy: np.ndarray) -> float:
    """Mean distance from positions to a path, m."""
    at = np.arange(0, 2.0 * (len(path) - 1), 0.25)
    fine = np.stack([np.interp(at, 2.0 * np.arange(len(path)), path[:, i]) for i in (0, 1)], axis=1)
    return float(np.sqrt(((xy[:, None] - fine[None]) ** 2).sum(-1)).min(1).mean())
