"""The grid finds what a search through every segment finds."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scene.make_scene import make_scene
from tests.world.micro import Box, Light, Line, micro_scene
from trafficgym.scene.readers import read
from trafficgym.scene.scene import Scene, SignalState
from trafficgym.world.road_index import (
    AX,
    AY,
    AZ,
    EX,
    EY,
    EZ,
    LEVEL_M,
    RoadIndex,
)
from trafficgym.world.road_queries import EDGE_REACH_M, Z_STRETCH, edge_distance, lanes_at


def index_of(*, lanes: list[Line] | None = None, edges: list[Line] | None = None) -> RoadIndex:
    return RoadIndex(micro_scene(Box(), lanes=lanes or [], edges=edges or []))


def signed(index: RoadIndex, x: float, y: float, z: float = 0.0) -> float:
    return float(edge_distance(np.float32(x), np.float32(y), np.float32(z), index.row)[0])


def lane(
    index: RoadIndex, x: float, y: float, yaw: float, z: float = 0.0, reach: float = 2.0
) -> tuple[int, bool, float]:
    """(segment, along, height) as `lanes_at` has them."""
    cos, sin = np.float32(math.cos(yaw)), np.float32(math.sin(yaw))
    return lanes_at(np.float32(x), np.float32(y), np.float32(z), cos, sin, np.float32(reach), index.row)


def test_distance_is_negative_left_of_an_edge() -> None:
    index = index_of(edges=[[(0, 0), (20, 0)]])
    assert signed(index, 5, 3) == pytest.approx(-3)
    assert signed(index, 5, -3) == pytest.approx(3)
    assert signed(index, 5, 0) == 0
    assert signed(index, 23, 4) == pytest.approx(-5)  # 3-4-5 beyond the end
    assert signed(index, -3, -4) == pytest.approx(5)


def test_at_a_corner_both_sides_decide() -> None:
    """Sharp turns, where the two sides of the corner disagree about a point beyond its tip."""
    wedge_of_road = index_of(edges=[[(0, 0), (10, 0), (1.34, 5)]])  # turns left: the road is inside the wedge
    assert signed(wedge_of_road, 11, 1) == pytest.approx(math.sqrt(2))
    assert signed(wedge_of_road, 6, 0.5) == pytest.approx(-0.5)
    wedge_of_rock = index_of(edges=[[(0, 0), (10, 0), (1.34, -5)]])  # turns right: the rock is inside
    assert signed(wedge_of_rock, 11, -1) == pytest.approx(-math.sqrt(2))
    assert signed(wedge_of_rock, 6, -0.5) == pytest.approx(0.5)


def test_an_island_that_closes_has_a_corner_where_it_closes() -> None:
    island = index_of(edges=[[(0, 0), (10, 1), (10, -1), (0, 0)]])  # clockwise: the road is around it
    for y in (0.3, -0.3):
        assert signed(island, -1, y) == pytest.approx(-math.hypot(1, 0.3), abs=1e-4)
    assert signed(island, 7, 0) > 0
    opened = index_of(edges=[[(0, 0), (10, 1), (10, -1), (1.5, -0.15)]])
    assert signed(opened, -1, -0.3) > 0  # without the closing side, the first one alone decides


def test_height_counts_threefold_in_the_search_and_not_in_the_distance() -> None:
    """The upper edge is 1 m away in the plane and 2 m in height (stretched: 6.08), the lower one 5 m."""
    index = index_of(edges=[[(-20, -5), (20, -5)], [(20, 1, 2), (-20, 1, 2)]])
    assert signed(index, 0, 0) == pytest.approx(-5)
    assert signed(index, 0, 0, 2.0) == pytest.approx(-1)


def test_beyond_the_reach_nobody_knows() -> None:
    index = index_of(edges=[[(0, 0), (20, 0)]])
    assert signed(index, 5, 29.9) == pytest.approx(-29.9, abs=1e-4)
    assert math.isnan(signed(index, 5, 30.1))
    assert math.isnan(signed(index, 1e5, -1e5))


def test_without_edges_lanes_or_road_there_is_nothing_to_find() -> None:
    for index in (index_of(), index_of(edges=[[(3, 4)]], lanes=[[(3, 4)]])):
        assert math.isnan(signed(index, 0, 0))
        assert lane(index, 0, 0, 0) == (-1, False, 0.0)


def test_repeated_points_do_no_harm() -> None:
    index = index_of(edges=[[(0, 0), (0, 0), (5, 0), (5, 0), (5, 0), (10, 0), (10, 0)]])
    assert signed(index, 5, 2) == pytest.approx(-2)
    assert signed(index, 12, 0.5) == pytest.approx(-math.hypot(2, 0.5))


def test_the_nearest_lane_along_the_heading_wins_over_a_nearer_one_against_it() -> None:
    index = index_of(lanes=[[(0, 0), (6, 0)], [(6, 1.5, 1), (0, 1.5, 1)]])
    assert lane(index, 3, 0.1, 0) == (0, True, 0.0)
    assert lane(index, 3, 0.1, math.pi) == (1, True, 0.0)  # the height is that of the nearest of any direction
    assert lane(index, 3, 1.4, 0) == (0, True, 1.0)
    assert lane(index, 3, -1.9, math.pi) == (0, False, 0.0)
    assert lane(index, 3, -2.1, 0) == (-1, False, 0.0)
    assert lane(index, 3, 0, 0, z=LEVEL_M + 1.1) == (-1, False, pytest.approx(LEVEL_M + 1.1))


def test_a_stop_point_gets_the_direction_of_its_own_lane() -> None:
    lights = [
        Light(lane=1, stop=(10, 3.4), shows=[SignalState.STOP] * 3),
        Light(lane=0, stop=(10, 0), shows=[SignalState.GO, SignalState.UNKNOWN, SignalState.STOP]),
    ]
    scene = micro_scene(Box(), lanes=[[(0, 0), (20, 0)], [(20, 3.5), (0, 3.5)]], lights=lights)
    index = RoadIndex(scene)
    np.testing.assert_allclose(index.signals, [[10, 3.4, 0, -1, 0], [10, 0, 0, 1, 0]], atol=1e-6)
    assert index.signal_state.tolist() == [[4, 4, 4], [6, 0, 4]]


def test_points_for_observations_lie_on_their_lines_and_cover_them() -> None:
    """Every 4 m a stretch: its middle, its direction, its length."""
    index = RoadIndex(make_scene())
    x, y, cos, sin, z, length, kind = index.points
    assert np.all(z == 0)
    np.testing.assert_allclose(cos**2 + sin**2, 1, atol=1e-6)
    edge = kind == 15
    assert length[edge].sum() == pytest.approx(400, abs=1e-3)
    south = edge & (y < 0)
    np.testing.assert_allclose(np.sort(x[south]), np.arange(2, 200, 4), atol=1e-4)
    assert np.all(cos[south] == 1)
    assert np.all(cos[edge & (y > 0)] == -1)


def brute_force(table: np.ndarray, x: float, y: float, z: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance in the plane, stretched distance and height of the nearest point of every segment."""
    table = table.astype(np.float64)
    rx, ry = x - table[:, AX], y - table[:, AY]
    length2 = table[:, EX] ** 2 + table[:, EY] ** 2
    t = np.clip((rx * table[:, EX] + ry * table[:, EY]) / length2, 0, 1)
    flat = np.hypot(rx - t * table[:, EX], ry - t * table[:, EY])
    height = table[:, AZ] + t * table[:, EZ]
    return flat, np.hypot(flat, Z_STRETCH * (z - height)), height


def assert_same_edge(index: RoadIndex, x: float, y: float, z: float) -> None:
    distance, far = edge_distance(np.float32(x), np.float32(y), np.float32(z), index.row)
    flat, stretched, _ = brute_force(index.edges, np.float32(x), np.float32(y), np.float32(z))
    nearest = stretched.min(initial=np.inf)
    if abs(nearest - EDGE_REACH_M) < 1e-3:
        return
    assert math.isnan(distance) == (nearest > EDGE_REACH_M)
    if nearest < EDGE_REACH_M:
        assert far == pytest.approx(nearest, abs=2e-3)
        ties = flat[stretched < nearest + 2e-3]
        if distance == 0:  # in line with the segment, where there is no side (WOSAC.md section 6 has it so)
            return
        assert np.abs(ties - abs(distance)).min() < 2e-3


def assert_same_lane(index: RoadIndex, x: float, y: float, z: float, yaw: float, reach: float) -> None:
    found, along, height = lane(index, x, y, yaw, z, reach)
    flat, _, heights = brute_force(index.lanes, np.float32(x), np.float32(y), np.float32(z))
    same_level = np.abs(heights - z) <= LEVEL_M
    if (np.abs(np.abs(heights - z) - LEVEL_M) < 1e-3).any() or (np.abs(flat - reach) < 1e-3).any():
        return
    near = same_level & (flat < reach)
    toward = index.lanes[:, EX] * math.cos(yaw) + index.lanes[:, EY] * math.sin(yaw)
    if (near & (np.abs(toward) < 1e-4)).any():
        return
    fitting = near & (toward > 0)
    wanted = fitting if fitting.any() else near
    assert (found >= 0) == near.any()
    if found >= 0:
        assert along == fitting.any()
        assert flat[found] == pytest.approx(flat[wanted].min(), abs=1e-3)
        nearest = near & (flat < flat[near].min() + 1e-3)
        assert np.abs(heights[nearest] - height).min() < 1e-2


coordinate = st.floats(-60, 60, width=32)
height = st.sampled_from([0.0, 1.0, 4.0])
line = st.lists(st.tuples(coordinate, coordinate, height), min_size=1, max_size=6)
query = st.tuples(st.floats(-120, 120, width=32), st.floats(-120, 120, width=32), height)


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(line, min_size=1, max_size=8), queries=st.lists(query, min_size=1, max_size=10))
def test_nearest_edge_is_that_of_brute_force_on_random_maps(
    lines: list[Line], queries: list[tuple[float, float, float]]
) -> None:
    index = index_of(edges=lines)
    for x, y, z in queries:
        assert_same_edge(index, x, y, z)


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(line, min_size=1, max_size=8),
    queries=st.lists(
        st.tuples(query, st.floats(-3.1, 3.1), st.sampled_from([2.0, 7.0, 40.0])), min_size=1, max_size=10
    ),
)
def test_lanes_are_those_of_brute_force_on_random_maps(
    lines: list[Line], queries: list[tuple[tuple[float, float, float], float, float]]
) -> None:
    index = index_of(lanes=lines)
    for (x, y, z), yaw, reach in queries:
        assert_same_lane(index, x, y, z, yaw, reach)


def real_scenes(data_root: Path) -> list[Scene]:
    files = [
        *sorted((data_root / "data/womd_converted").glob("*-00000-of-00002")),
        *sorted((data_root / "data/gpudrive").glob("*.json.gz"))[:20:10],
    ]
    found = [s for file in files for s in islice(read(file), 3) if isinstance(s, Scene)]
    assert len(found) >= 5
    return found


def test_real_maps_agree_with_brute_force(data_root: Path) -> None:
    rng = np.random.default_rng(0)
    for scene in real_scenes(data_root):
        index, tracks = RoadIndex(scene), scene.tracks
        agents, steps = np.nonzero(tracks.valid)
        for k in rng.choice(len(agents), 60, replace=False):
            at = agents[k], steps[k]
            x, y = np.array([tracks.x[at], tracks.y[at]]) + rng.normal(0, 10, 2)
            z = float(tracks.z[at] - tracks.height[at] / 2)
            assert_same_edge(index, x, y, z)
            assert_same_lane(index, x, y, z, float(tracks.yaw[at]), 5.0)


def test_thinned_lines_stay_within_two_centimetres_of_the_map(data_root: Path) -> None:
    scene = real_scenes(data_root)[0]
    index, road = RoadIndex(scene), scene.road
    for f in np.flatnonzero(road.is_edge | road.is_lane)[::7]:
        edge = road.is_edge[f]
        table, feature = (index.edges, index.edge_feature) if edge else (index.lanes, index.lane_feature)
        own = table[feature == f]
        points = road.points(f)
        if len(points) < 2:
            assert not len(own)
            continue
        for x, y, z in points[::5]:
            flat, _, _ = brute_force(own, x, y, z)
            assert flat.min() < 0.021
