"""The search for the nearest motion against a plain one over all motions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.agents.smart.small_vocabulary import CYCLIST, VEHICLE, small_vocabulary
from trafficgym_agents.policies.smart.matching import (
    MotionEnds,
    local_poses,
    match_motion,
    nearest_motions,
    nominal_boxes,
    recovery_tokens,
)

ENDS = MotionEnds.of(small_vocabulary())


def many_ends(rng: np.random.Generator) -> MotionEnds:
    """Classes of 300, 1 and 40 random motions, every tenth of them twice."""
    first = np.array([0, 300, 301, 341])
    type = np.repeat([0, 1, 2], np.diff(first))
    xy = rng.normal(size=(341, 2)) * [5, 1]
    xy[5::10] = xy[:340:10]
    yaw = np.where(np.arange(341) % 5 == 0, 0.1, rng.normal(size=341))
    corners = nominal_boxes(type, xy.astype(np.float32), yaw.astype(np.float32))
    return MotionEnds(corners=corners, first=first)


def distances(ends: MotionEnds, type: int, start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Mean corner distance of each motion of a class, placed at `start`, from the box at `goal` (x, y, yaw)."""
    cos, sin = np.cos(start[2]), np.sin(start[2])
    corners = ends.corners[ends.first[type] : ends.first[type + 1]]
    placed = corners @ np.array([[cos, sin], [-sin, cos]], np.float32) + start[:2]
    box = nominal_boxes(np.array([type]), goal[None, :2], goal[2:])
    return np.linalg.norm(placed - box, axis=-1).mean(-1)


@pytest.mark.parametrize("scale", [1.0, 100.0, 8000.0])
def test_as_a_plain_search(scale: float) -> None:
    """Near and far from the origin, where float32 is coarse; goals far from all motions, too."""
    rng = np.random.default_rng(int(scale))
    ends, num = many_ends(rng), 60
    type = rng.integers(3, size=num)
    start = np.concatenate([rng.normal(size=(num, 2)) * scale, rng.uniform(-4, 4, (num, 1))], 1).astype(np.float32)
    goal = start + rng.normal(size=(num, 3)).astype(np.float32) * np.array([4, 4, 0.5], np.float32)
    token, distance = nearest_motions(ends, type, start[:, :2], start[:, 2], goal[:, :2], goal[:, 2], 5)
    tolerance = 4 * np.finfo(np.float32).eps * (scale + 10) * 4
    for n in range(num):
        want = distances(ends, type[n], start[n], goal[n])
        known = min(5, len(want))
        np.testing.assert_allclose(distance[n, :known], np.sort(want)[:known], rtol=0, atol=tolerance)
        np.testing.assert_allclose(want[token[n, :known]], np.sort(want)[:known], rtol=0, atol=tolerance)
        assert len(set(token[n, :known].tolist())) == known
        assert np.isinf(distance[n, known:]).all()
    matched = match_motion(ends, type, start[:, :2], start[:, 2], goal[:, :2], goal[:, 2])
    np.testing.assert_array_equal(matched, token[:, 0])


def test_of_equal_motions_the_first() -> None:
    rng = np.random.default_rng(0)
    ends = many_ends(rng)
    for row in range(5, 300, 10):  # what lies at `row` lies at `row - 5` as well
        xy, yaw = ends.place(np.zeros(1, int), np.array([row]), np.zeros((1, 2), np.float32), np.zeros(1, np.float32))
        token, _ = nearest_motions(ends, np.zeros(1, int), np.zeros((1, 2), np.float32), np.zeros(1), xy, yaw, 2)
        assert token.tolist() == [[row - 5, row]]


def test_a_motion_leads_where_its_class_says() -> None:
    """From (10, 20) heading north, 4 m ahead is (10, 24), and 1 m to the left is to the west."""
    type = np.array([0, 0, 1, 2])
    token = np.array([1, 3, 1, 2])
    xy = np.full((4, 2), [10, 20], np.float32)
    yaw = np.full(4, np.pi / 2, np.float32)
    to_xy, to_yaw = ENDS.place(type, token, xy, yaw)
    np.testing.assert_allclose(to_xy, [[10, 24], [9, 24.5], [10, 20.7], [10, 22.5]], atol=1e-5)
    np.testing.assert_allclose(to_yaw, np.pi / 2 + np.array([0, 0.4, 0, 0]), atol=1e-6)
    np.testing.assert_array_equal(match_motion(ENDS, type, xy, yaw, to_xy, to_yaw), token)
    np.testing.assert_array_equal(recovery_tokens(ENDS, type, xy, yaw, to_xy, to_yaw), token)


def test_corners_decide_and_not_the_centre() -> None:
    """Turned round on the spot, the centre of "stand" is where it should be and its corners are 4.8 m off.

    Corners of a car at rest that is to face about: front corners are off by 2 hypot(2.4, 1) = 5.2 m.
    """
    zero = np.zeros((1, 2), np.float32)
    _, distance = nearest_motions(ENDS, np.array([0]), zero, zero[:, 0], zero, zero[:, 0] + np.float32(np.pi), 5)
    assert distance[0].min() == pytest.approx(2 * math.hypot(2.4, 1), abs=0.5)
    token, distance = nearest_motions(ENDS, np.array([2]), zero, zero[:, 0], zero, zero[:, 0] + np.float32(0.2), 1)
    half = math.hypot(1, 0.5)
    assert token.tolist() == [[0]]
    assert distance[0, 0] == pytest.approx(2 * half * math.sin(0.1), abs=1e-5)


def test_local_poses() -> None:
    """One ahead, seen from heading north; the difference of headings is wrapped."""
    start, goal = np.array([[1, 1]], np.float32), np.array([[0, 4]], np.float32)
    local = local_poses(start, np.array([np.pi / 2], np.float32), goal, np.array([np.pi / 2 + 6], np.float32))
    np.testing.assert_allclose(local, [[3, 1, 6 - 2 * np.pi]], atol=1e-6)


def test_sizes_of_classes() -> None:
    assert ENDS.first.tolist() == [0, len(VEHICLE), len(VEHICLE) + 2, len(VEHICLE) + 2 + len(CYCLIST)]
    none = np.zeros((0, 2), np.float32)
    assert match_motion(ENDS, np.zeros(0, int), none, none[:, 0], none, none[:, 0]).shape == (0,)
