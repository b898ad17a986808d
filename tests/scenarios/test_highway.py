"""The generated highway: what a simulator and a learner may rely on, over many seeds."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import RoadType, Scene, scenes_equal
from trafficgym_scenarios import HighwayConfig, highway_scene, highway_scenes

SEEDS = st.integers(0, 2**32 - 1)


def boxes(scene: Scene, step: int) -> NDArray[np.object_]:
    """The agents' footprints at `step` as polygons, ``[A]``."""
    t = scene.tracks
    forward = (
        np.stack([np.cos(t.yaw[:, step]), np.sin(t.yaw[:, step])], -1)[:, None] * t.length[:, step, None, None] / 2
    )
    left = np.stack([-np.sin(t.yaw[:, step]), np.cos(t.yaw[:, step])], -1)[:, None] * t.width[:, step, None, None] / 2
    centre = np.stack([t.x[:, step], t.y[:, step]], -1)[:, None]
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    return shapely.polygons(centre + corners[None, :, :1] * forward + corners[None, :, 1:] * left)


def road_surface(scene: Scene) -> shapely.Polygon:
    """The strip between the two road edges, its ring run through in the edges' own direction."""
    right, left = (scene.road.points(int(f))[:, :2] for f in np.flatnonzero(scene.road.is_edge))
    return shapely.Polygon(np.concatenate([right, left]))


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_nobody_touches_anybody_and_everybody_stays_on_the_road(seed: int) -> None:
    scene = highway_scene(seed)
    road = road_surface(scene)
    shapely.prepare(road)
    for step in range(0, scene.num_steps, 3):
        agents = boxes(scene, step)
        pairs = shapely.STRtree(agents).query(agents, predicate="intersects")
        assert_array_equal(pairs[0], pairs[1], err_msg=f"step {step}: a box meets another than itself")
        assert shapely.contains(road, agents).all(), step


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_velocity_is_the_change_of_position_and_points_where_the_box_points(seed: int) -> None:
    t = highway_scene(seed).tracks
    for position, velocity in ((t.x, t.vx), (t.y, t.vy)):
        moved = np.diff(position.astype(np.float64), axis=1) / 0.1
        assert_allclose(moved, (velocity[:, 1:] + velocity[:, :-1]) / 2, atol=0.15)
    assert_allclose(np.hypot(t.vx, t.vy) * np.cos(t.yaw), t.vx, atol=1e-3)
    assert_allclose(np.hypot(t.vx, t.vy) * np.sin(t.yaw), t.vy, atol=1e-3)


@pytest.mark.parametrize("shape", ["straight", "curve", "s"])
def test_traffic_drives_along_the_lanes_in_their_direction(shape: str) -> None:
    scene = highway_scene(3, HighwayConfig(shape=shape))
    t, road = scene.tracks, scene.road
    lanes = [road.points(int(f))[:, :2] for f in np.flatnonzero(road.is_lane)]
    at = np.concatenate([lane[:-1] for lane in lanes])
    along = np.concatenate([np.arctan2(*np.diff(lane, axis=0).T[::-1]) for lane in lanes])
    xy = np.stack([t.x, t.y], -1).reshape(-1, 2)
    _, nearest = shapely.STRtree(shapely.points(at)).query_nearest(shapely.points(xy), all_matches=False)
    turned = (t.yaw.ravel() - along[nearest] + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(turned).max() < np.radians(8)
    assert np.median(np.abs(turned)) < np.radians(0.5)


def test_edges_run_counter_clockwise_around_the_road_and_neighbours_lie_on_their_side() -> None:
    scene = highway_scene(0)
    road = scene.road
    assert road_surface(scene).exterior.is_ccw  # so the drivable side is on the left of both edges
    for links, side in ((road.left_neighbors, 1), (road.right_neighbors, -1)):
        assert links.span is not None and len(links.span) == len(links.index) == 8
        for lane in np.flatnonzero(road.is_lane):
            for other in links.of(int(lane)):
                own, its = road.points(int(lane))[:, :2], road.points(int(other))[:, :2]
                ahead, across = own[1] - own[0], its[0] - own[0]
                assert side * (ahead[0] * across[1] - ahead[1] * across[0]) > 0
                assert_allclose(np.linalg.norm(across), 3.6, atol=1e-3)


def test_lanes_lead_into_lanes_that_begin_where_they_end() -> None:
    road = highway_scene(1).road
    assert road.has_lane_graph
    for lane in np.flatnonzero(road.is_lane):
        for following in road.successors.of(int(lane)):
            assert_array_equal(road.points(int(lane))[-1], road.points(int(following))[0])
            assert lane in road.predecessors.of(int(following))
    assert (road.speed_limit[road.is_lane] > 24).all() and not road.speed_limit[~road.is_lane].any()


def test_lines_are_broken_between_lanes_and_solid_beside_them() -> None:
    road = highway_scene(0, HighwayConfig(num_lanes=4)).road
    assert list(road.type[road.is_line]) == [
        RoadType.LINE_SOLID_SINGLE_WHITE,
        *[RoadType.LINE_BROKEN_SINGLE_WHITE] * 3,
        RoadType.LINE_SOLID_SINGLE_YELLOW,
    ]


def test_the_sdc_stands_at_the_origin_now_with_traffic_ahead_and_behind() -> None:
    for scene in highway_scenes(6, seed=20):
        t, sdc = scene.tracks, scene.sdc
        assert sdc is not None and scene.current_step == 10
        assert (t.x[sdc, 10], t.y[sdc, 10]) == (0.0, 0.0)
        ahead = t.x[:, 10] * np.cos(t.yaw[sdc, 10]) + t.y[:, 10] * np.sin(t.yaw[sdc, 10])
        assert ahead.min() < 0 < ahead.max()
        assert t.to_predict.sum() == min(8, scene.num_agents - 1) and not t.to_predict[sdc]


def test_same_seed_same_bytes_and_another_seed_another_scene() -> None:
    first, again, other = highway_scene(5), highway_scenes(2, seed=4)[1], highway_scene(6)
    assert scenes_equal(first, again) is None
    assert scenes_equal(first, other) is not None


def test_some_drivers_change_lane_smoothly() -> None:
    scenes = highway_scenes(12, seed=0, config=HighwayConfig(shape="straight"))
    across = []
    for scene in scenes:
        t = scene.tracks
        road = np.median(t.yaw)
        across.append(np.ptp(-t.x * np.sin(road) + t.y * np.cos(road), axis=1))
    moved = np.concatenate(across)
    assert (moved > 3.0).sum() >= 3 and (moved < 0.1).mean() > 0.5
    assert moved.max() < 3.7  # one lane at most


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shape": "curv"}, "did you mean 'curve'"),
        ({"num_lanes": 0}, "num_lanes is 0"),
        ({"num_steps": 10}, "at least 11"),
        ({"num_vehicles": (5, 2)}, "least <= most"),
        ({"length": 300.0}, "run out of road"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(change: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        HighwayConfig(**change)
