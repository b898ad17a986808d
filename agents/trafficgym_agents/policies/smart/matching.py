# mypy: allow-untyped-defs
"""The token that leads nearest to a pose: what tokenising a log, expert guidance and recovery targets share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.world.dynamics.motion_tokens import CORNERS, place_motion
from trafficgym_agents.policies.smart.vocabulary import NOMINAL_SIZE, Vocabulary

Float = NDArray[np.float32]
Int = NDArray[np.int64]

_SLACK = 16 * np.finfo(np.float32).eps
"""More than what rounding does to the sum of four distances, as a share of the coordinates."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionEnds:
    """Where the motions of a vocabulary end: W contours, those of the three classes one after the other."""

    corners: Float  # (W, 4, 2) m: left front, right front, right back, left back in the frame of the starting pose
    first: Int  # (4,) class c owns the rows first[c] to first[c + 1]

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> MotionEnds:
        """The last contour of each motion."""
        first = np.concatenate([[0], np.cumsum(vocabulary.sizes)]).astype(np.int64)
        return cls(corners=np.concatenate([motions[:, -1] for motions in vocabulary.agents]), first=first)

    @cached_property
    def by_reach(self) -> tuple[Int, Float]:
        """Rows int64 ``[W]``, those of a class by how far ahead they end, and their centres float32 ``[W, 2]`` m."""
        centre = self.corners.mean(1, dtype=np.float32)
        type = np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))
        order = np.lexsort((centre[:, 0], type))
        return order, centre[order]

    def place(self, type: Int, token: Int, xy: Float, yaw: Float) -> tuple[Float, Float]:
        """The poses to which tokens lead from the poses `xy` ``[N, 2]`` m and `yaw` ``[N]`` rad, likewise."""
        contours = self.corners[self.first[type] + token][:, None]
        x, y, turned = place_motion(contours, xy[:, 0], xy[:, 1], yaw)
        return np.concatenate([x, y], -1), turned[:, 0]


def match_motion(ends: MotionEnds, type: Int, from_xy: Float, from_yaw: Float, to_xy: Float, to_yaw: Float) -> Int:
    """The token of its class that leads each of N agents nearest to a pose.

    Nearest is the least sum of the distances of the four corners to those of the nominal box at the pose, computed in
    float32 in the frame of the poses, as the reference does; of equal ones the first.

    Args:
        ends: Of the vocabulary.
        type: Class 0, 1 or 2, int64 ``[N]``.
        from_xy: Where the agents are, float32 ``[N, 2]`` m.
        from_yaw: ``[N]`` rad.
        to_xy: Where they are to be half a second later, ``[N, 2]`` m.
        to_yaw: ``[N]`` rad.

    Returns:
        int64 ``[N]``.
    """
    return nearest_motions(ends, type, from_xy, from_yaw, to_xy, to_yaw, 1)[0][:, 0]


def nearest_motions(
    ends: MotionEnds, type: Int, from_xy: Float, from_yaw: Float, to_xy: Float, to_yaw: Float, num: int
) -> tuple[Int, Float]:
    """The `num` tokens that lead nearest to a pose, nearest first; arguments as in `match_motion`.

    Returns:
        Tokens int64 ``[N, num]``, and the mean distance of their corners, float32 ``[N, num]`` m, infinite where the
        class has fewer tokens.
    """
    token = np.zeros((len(type), num), np.int64)
    distance = np.full((len(type), num), np.inf, np.float32)
    slack = _SLACK * (np.abs(from_xy).sum(1) + np.abs(to_xy).sum(1) + 100)
    heading = np.stack([np.cos(from_yaw), np.sin(from_yaw)], -1)
    floats = (from_xy, heading, nominal_boxes(type, to_xy, to_yaw), slack)
    way = [np.ascontiguousarray(values, np.float32) for values in floats]  # one type, so that it is compiled once
    _match(ends.corners, *ends.by_reach, ends.first, np.asarray(type, np.int64), *way, token, distance)
    return token, distance * np.float32(0.25)


def recovery_tokens(ends: MotionEnds, type: Int, from_xy: Float, from_yaw: Float, to_xy: Float, to_yaw: Float) -> Int:
    """Like `match_motion`, but computed in the frame of the agent, as the targets of the reference's losses are.

    The two differ where two tokens are nearly as near, in 2 of 594 places of a scene far from its origin.
    """
    x, y, yaw = local_poses(from_xy, from_yaw, to_xy, to_yaw).T
    nowhere = np.zeros((len(type), 2), np.float32)
    return match_motion(ends, type, nowhere, nowhere[:, 0], np.stack([x, y], -1), yaw)


def local_poses(from_xy: Float, from_yaw: Float, to_xy: Float, to_yaw: Float) -> Float:
    """Poses as seen from others: x ahead and y to the left [m] and yaw in [-pi, pi), float32 ``[N, 3]``."""
    cos, sin = np.cos(from_yaw), np.sin(from_yaw)
    dx, dy = (to_xy - from_xy).T
    turn = (to_yaw - from_yaw + np.float32(np.pi)) % np.float32(2 * np.pi) - np.float32(np.pi)
    return np.stack([dx * cos + dy * sin, dy * cos - dx * sin, turn], -1)


def nominal_boxes(type: Int, xy: Float, yaw: Float) -> Float:
    """Corners of the box that stands for each class, at poses ``[N, 2]`` m and ``[N]`` rad; float32 ``[N, 4, 2]``."""
    ahead, aside = np.moveaxis(CORNERS * NOMINAL_SIZE[type][:, None], 2, 0)
    x, y, cos, sin = (values[:, None] for values in (*xy.T, np.cos(yaw), np.sin(yaw)))
    # The centre first: so the reference rounds, far from the origin.
    return np.stack([x + ahead * cos - aside * sin, y + ahead * sin + aside * cos], -1)


@njit(cache=True, error_model="numpy")
def _match(corners, row, centre, first, type, start, heading, box, slack, token, distance):
    for n in range(len(type)):
        begin, end = first[type[n]], first[type[n] + 1]
        mine = row[begin:end], centre[begin:end]
        _search(corners, *mine, start[n], heading[n], box[n], slack[n], token[n], distance[n])
        for k in range(token.shape[1]):
            token[n, k] = max(token[n, k] - begin, 0)


@njit(cache=True, error_model="numpy")
def _search(corners, row, centre, start, heading, box, slack, token, distance):
    """The templates that end nearest to a box, looking first at those that come about as far ahead.

    Four corners are never nearer, added up, than four times their centre, so that few need a closer look.
    """
    quarter = np.float32(0.25)
    dx = quarter * (box[0, 0] + box[1, 0] + box[2, 0] + box[3, 0]) - start[0]
    dy = quarter * (box[0, 1] + box[1, 1] + box[2, 1] + box[3, 1]) - start[1]
    ahead, left = dx * heading[0] + dy * heading[1], dy * heading[0] - dx * heading[1]
    below, above = -1, len(row)
    while above - below > 1:
        middle = (below + above) // 2
        if centre[middle, 0] < ahead:
            below = middle
        else:
            above = middle
    reach = np.float32(np.inf)
    while below >= 0 or above < len(row):
        if above == len(row) or (below >= 0 and ahead - centre[below, 0] <= centre[above, 0] - ahead):
            v, below = below, below - 1
        else:
            v, above = above, above + 1
        ex, ey = centre[v, 0] - ahead, centre[v, 1] - left
        if not abs(ex) <= reach:
            break
        if ex * ex + ey * ey <= reach * reach:
            _keep(row[v], _distance(corners[row[v]], start, heading, box), token, distance)
            reach = quarter * (distance[-1] + slack)


@njit(cache=True, error_model="numpy", inline="always")
def _distance(contour, start, heading, box):
    """Sum over the corners of how far a template, placed at a start, ends from a box."""
    total = np.float32(0.0)
    for k in range(4):
        ahead, aside = contour[k, 0], contour[k, 1]
        dx = ahead * heading[0] - aside * heading[1] + start[0] - box[k, 0]
        dy = ahead * heading[1] + aside * heading[0] + start[1] - box[k, 1]
        total += np.sqrt(dx * dx + dy * dy)
    return total


@njit(cache=True, error_model="numpy", inline="always")
def _keep(found, away, token, distance):
    """Put a template in its place among the nearest so far, if it is one; of equal ones the first comes first."""
    k = len(distance)
    while k > 0 and (away < distance[k - 1] or (away == distance[k - 1] and found < token[k - 1])):
        k -= 1
        if k + 1 < len(distance):
            token[k + 1], distance[k + 1] = token[k], distance[k]
        token[k], distance[k] = found, away
