"""The fast searches find what trying everything finds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.metrics.wosac import brute_force
from trafficgym.metrics.wosac.interaction import FAR, MAX_TTC_S, interaction
from trafficgym.metrics.wosac.red_lights import RedLights
from trafficgym.metrics.wosac.road_edges import ABSENT, RoadEdges

Float = NDArray[np.float32]

seeds = st.integers(0, 2**32 - 1)
offsets = st.sampled_from([0.0, 1e4, -2e4])
SPREADS = {"piled": 3.0, "clustered": 15.0, "scattered": 80.0, "far-flung": 3000.0}


def float32(values: NDArray) -> Float:
    return np.ascontiguousarray(values, np.float32)


def rounding(offset: float) -> float:
    """What some operations in float32 lose there [m]."""
    return 1e-4 + 4 * float(np.spacing(np.float32(abs(offset) + 3000)))


def make_crowd(rng: np.random.Generator, num: int, spread: str, offset: float, num_steps: int) -> dict[str, NDArray]:
    """Boxes of all sizes, ``[num_steps, num]`` each, that move a little from step to step."""
    wander = rng.normal(0, 1, (num_steps, num, 2)).cumsum(0) + rng.normal(0, SPREADS[spread], (num, 2))
    if rng.random() < 0.3:
        wander = np.round(wander / 4) * 4  # many at the same place, side by side, or equally far
    ways = [0.0, np.pi / 2, 0.3, -3.0] if rng.random() < 0.5 else [0.3]
    yaw = rng.choice(ways, (1, num)) + rng.normal(0, 0.1, (num_steps, num))
    return {
        "x": float32(wander[..., 0] + offset),
        "y": float32(wander[..., 1] - offset),
        "yaw": float32(yaw),
        "speed": float32(np.where(rng.random((num_steps, num)) < 0.1, np.nan, rng.uniform(0, 30, (num_steps, num)))),
        "length": float32(rng.uniform(0.3, 18, num)),
        "width": float32(rng.uniform(0.3, 3, num)),
        "valid": rng.random((num_steps, num)) < rng.choice([0.4, 0.9, 1.0]),
    }


@settings(max_examples=60, deadline=None)
@given(seed=seeds, num=st.integers(1, 30), spread=st.sampled_from([*SPREADS]), offset=offsets)
def test_nearest_object_and_object_ahead(seed: int, num: int, spread: str, offset: float) -> None:
    rng = np.random.default_rng(seed)
    num_evaluated, num_steps = int(rng.integers(1, min(num, 4) + 1)), 3
    crowd = make_crowd(rng, num, spread, offset, num_steps)
    moving = [crowd[name][None] for name in ("x", "y", "yaw", "speed")]
    distance, ttc = interaction(*moving, crowd["length"], crowd["width"], crowd["valid"], num_evaluated)
    margin = rounding(offset)
    for t in range(num_steps):
        x, y, yaw, speed, valid = (crowd[name][t] for name in ("x", "y", "yaw", "speed", "valid"))
        sizes = crowd["length"], crowd["width"]
        expected = brute_force.nearest_object(x, y, yaw, *sizes, valid, num_evaluated)
        assert distance[0, :, t] == pytest.approx(expected, abs=margin, rel=1e-6)
        expected, unsure = brute_force.time_to_collision(x, y, yaw, speed, *sizes, valid, num_evaluated, margin)
        closing = np.maximum(np.nan_to_num(speed[:num_evaluated]), 0.1)
        apart = np.abs(ttc[0, :, t] - expected) * np.minimum(closing, 1.0)
        slow = expected > margin * 100  # a gap of millimetres, closed at a crawl, can be any time
        assert (apart[~unsure & slow] < 100 * margin).all()


@settings(max_examples=40, deadline=None)
@given(seed=seeds, num=st.integers(2, 20), spread=st.sampled_from([*SPREADS]))
def test_the_order_of_the_others_does_not_matter(seed: int, num: int, spread: str) -> None:
    rng = np.random.default_rng(seed)
    crowd = make_crowd(rng, num, spread, 1e4, 3)
    order = np.concatenate([[0], 1 + rng.permutation(num - 1)])
    found = []
    for chosen in (np.arange(num), order):
        moving = [np.ascontiguousarray(crowd[name][None, :, chosen]) for name in ("x", "y", "yaw", "speed")]
        valid = np.ascontiguousarray(crowd["valid"][:, chosen])
        found.append(interaction(*moving, crowd["length"][chosen], crowd["width"][chosen], valid, 1))
    assert np.array_equal(found[0][0], found[1][0])
    # Of two that are equally far ahead the first counts (section 5), as only happens where boxes stand in a raster.
    if len(np.unique(crowd["x"])) == crowd["x"].size:
        assert np.array_equal(found[0][1], found[1][1])


def test_of_two_equally_far_ahead_the_first_counts() -> None:
    x, y = float32([[[0, 20, 20]]]), float32([[[0, 0.5, -0.5]]])
    yaw, size, valid = np.zeros_like(x), np.full(3, 2, np.float32), np.ones((1, 3), bool)
    for speed, expected in (([10.0, 4.0, 9.0], 3.0), ([10.0, 9.0, 4.0], MAX_TTC_S)):
        _, ttc = interaction(x, y, yaw, float32([[speed]]), size, size, valid, 1)
        assert ttc[0, 0, 0] == pytest.approx(expected)  # gap 18 m, at 6 m/s or 1 m/s


def test_nobody_there() -> None:
    x, size = np.zeros((1, 1, 2), np.float32), np.ones(2, np.float32)
    for valid, expected in (([True, False], FAR), ([False, True], FAR), ([True, True], -1.0)):
        distance, ttc = interaction(x, x, x, x, size, size, np.array([valid]), 1)
        assert distance[0, 0, 0] == expected and ttc[0, 0, 0] == MAX_TTC_S


# --- maps -------------------------------------------------------------------------------------------------------------


def make_lines(rng: np.random.Generator, num: int, offset: float) -> list[Float]:
    """Open and closed polylines of all lengths, on two levels, some with points that repeat, some of one point."""
    lines = []
    for _ in range(num):
        middle, length = rng.normal(0, 60, 3) * [1, 1, 0.03], int(rng.integers(1, 9))
        if rng.random() < 0.4:
            angle = np.linspace(0, rng.choice([-2, 2]) * np.pi, length + 3)
            line = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1) * rng.uniform(1, 15)
        else:
            line = rng.normal(0, [6, 6, 0.1], (length, 3)).cumsum(0)
        line = line + middle + [0, 0, rng.choice([0.0, 6.0])]
        if length > 3 and rng.random() < 0.3:
            line[2] = line[1]
        if rng.random() < 0.3:
            line = np.round(line)
        lines.append(float32(line + np.array([offset, -offset, 0])))
    return lines


def some_points(rng: np.random.Generator, lines: list[Float], offset: float) -> Float:
    """Points around, far off, on vertices, and in the middle of segments."""
    around = rng.normal(0, 60, (20, 3)) * [1, 1, 0.05] + [offset, -offset, 0]
    off = rng.normal(0, 5000, (3, 3)) * [1, 1, 0] + [offset, -offset, 0]
    vertices = np.concatenate(lines)[rng.integers(0, sum(map(len, lines)), 10)]
    middles = [(a + b) / 2 for line in lines for a, b in pairwise(line)][:10]
    return float32(np.concatenate([around, off, vertices, vertices + rng.normal(0, 0.5, (10, 3)), middles]))


@settings(max_examples=60, deadline=None)
@given(seed=seeds, num=st.integers(1, 25), offset=offsets)
def test_nearest_road_edge(seed: int, num: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    lines = make_lines(rng, num, offset)
    edges = RoadEdges([*lines, float32([[0, 0, 0], [1, 0, 0]]) + np.float32(offset)])
    points = some_points(rng, [*lines, float32(np.full((2, 3), offset))], offset)
    expected = brute_force.distance_to_edges(points, [*lines, float32([[0, 0, 0], [1, 0, 0]]) + np.float32(offset)])
    assert np.array_equal(edges.distance_of_points(points), expected)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, offset=offsets)
def test_outermost_bottom_corner(seed: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    lines = [*make_lines(rng, 8, offset), float32([[0, 0, 0], [1, 0, 0]]) + np.float32(offset)]
    shape = (2, 3, 5)  # rollouts, objects, steps
    x, y = (float32(rng.normal(0, 40, shape) + by) for by in (offset, -offset))
    z, yaw = float32(rng.normal(1, 0.5, shape)), float32(rng.uniform(-4, 4, shape))
    sizes, valid = float32(rng.uniform(0.5, 6, (3, 3))), rng.random((3, 5)) < 0.8
    found = RoadEdges(lines).distance(x, y, z, yaw, sizes, valid)
    length, width, height = sizes.T[:, :, None] / 2
    corners = []
    for along, aside in ((length, width), (-length, width), (-length, -width), (length, -width)):
        cos, sin = (f(yaw.astype(np.float64)).astype(np.float32) for f in (np.cos, np.sin))
        corners.append(np.stack([along * cos - aside * sin + x, along * sin + aside * cos + y, z - height], axis=-1))
    points = np.stack(corners, axis=-2).astype(np.float32)
    expected = brute_force.distance_to_edges(points.reshape(-1, 3), lines).reshape(*shape, 4).max(-1)
    assert np.array_equal(found, np.where(valid, expected, ABSENT))


@settings(max_examples=60, deadline=None)
@given(seed=seeds, num=st.integers(1, 25), offset=offsets)
def test_nearest_lane(seed: int, num: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    lanes = [*make_lines(rng, num, offset), float32([[0, 0, 0], [1, 0, 0]]) + np.float32(offset)]
    lights = RedLights(
        lanes, np.arange(len(lanes)), np.zeros(0, np.int64), np.zeros((0, 1), np.int8), np.zeros((0, 1, 2), np.float32)
    )
    points = some_points(rng, lanes, offset)[:, :2]
    row, slot = lights.nearest(points[:, 0], points[:, 1])
    expected_row, expected_slot = brute_force.nearest_lane(points, lanes)
    assert np.array_equal(row, expected_row)
    assert np.array_equal(slot, expected_slot)
