"""Which lanes a moving vehicle keeps to, and who is ahead of it along them; kernels over the lane graph.

A vehicle is on a lane where the lane's centre line is within `ON_LANE_M` of its box centre and runs within 45 degrees
of its yaw; where lanes overlap, as they fork or cross, it is on several. Bike lanes do not count. Heights are not
looked at, as rollouts of networks keep the height that they begin with.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.scene import RoadType, Scene
from trafficgym.world.road_index import AX, AY, EX, EY, INV_LENGTH2, RoadIndex, column_of, line_of

Float = NDArray[np.float64]
Int = NDArray[np.int32]
Bool = NDArray[np.bool_]

ON_LANE_M = 2.0
BESIDE_M = 6.0  # a lane that goes on this near is one that could have been kept to
ALIGNED = math.cos(math.pi / 4)
MAX_LANES = 16  # that overlap at one point
LOST_STEPS = 10  # after a second on no lane, nobody knows which way a vehicle came


class LaneLines(NamedTuple):
    """Centre lines cut into segments, by cell, and how lanes follow on each other; lanes are map features."""

    segments: NDArray[np.float32]  # (N, 8), columns of `road_index`
    lane: Int  # (N,) of each segment
    arc: Float  # (N,) m along the lane to the segment's start
    length: Float  # (F,) m of each lane
    start: Int  # (cells + 1,) cell c lists segments cell[start[c]:start[c + 1]]
    cell: Int
    grid: NDArray[np.float32]  # (4,), see `road_index.make_grid`
    num_x: int
    num_y: int
    next_offsets: Int  # (F + 1,) lane f leads into next[next_offsets[f]:next_offsets[f + 1]]
    next: Int


def lane_lines(scene: Scene) -> LaneLines:
    """The centre lines of a scene that vehicles drive on."""
    index, road = RoadIndex(scene), scene.road
    size = np.hypot(index.lanes[:, EX], index.lanes[:, EY]).astype(np.float64)
    so_far = np.cumsum(size) - size
    first = np.searchsorted(index.lane_feature, index.lane_feature)  # segments of a lane lie side by side, in order
    is_bike = road.type[index.lane_feature] == RoadType.LANE_BIKE
    return LaneLines(
        segments=index.lanes,
        lane=np.where(is_bike, -1, index.lane_feature).astype(np.int32),
        arc=so_far - so_far[first],
        length=np.bincount(index.lane_feature, size, minlength=road.num_features).astype(np.float64),
        start=index.lane_start,
        cell=index.lane_cell,
        grid=index.grid,
        num_x=index.shape[0],
        num_y=index.shape[1],
        next_offsets=road.successors.offsets,
        next=road.successors.index,
    )


@njit(cache=True, error_model="numpy")
def on_lanes(lines: LaneLines, x: float, y: float, cos: float, sin: float, lanes: Int, arcs: Float, far: Float) -> int:
    """Find the lanes that a vehicle is on; returns how many, at most `MAX_LANES`.

    Args:
        lanes: Filled with them, int32 ``[MAX_LANES]``.
        arcs: Filled with how far along each it is, m.
        far: Filled with its squared distance to each, m^2.
    """
    num = 0
    if len(lines.segments) == 0:
        return num
    low, high = column_of(x - ON_LANE_M, lines.grid, lines.num_x), column_of(x + ON_LANE_M, lines.grid, lines.num_x)
    bottom, top = line_of(y - ON_LANE_M, lines.grid, lines.num_y), line_of(y + ON_LANE_M, lines.grid, lines.num_y)
    for cy in range(bottom, top + 1):
        for n in range(lines.start[cy * lines.num_x + low], lines.start[cy * lines.num_x + high + 1]):
            i = lines.cell[n]
            s = lines.segments[i]
            along = s[EX] * cos + s[EY] * sin
            if lines.lane[i] < 0 or along < 0 or along * along * s[INV_LENGTH2] < ALIGNED * ALIGNED:
                continue
            t = min(max(((x - s[AX]) * s[EX] + (y - s[AY]) * s[EY]) * s[INV_LENGTH2], 0.0), 1.0)
            square = (x - s[AX] - t * s[EX]) ** 2 + (y - s[AY] - t * s[EY]) ** 2
            if square > ON_LANE_M * ON_LANE_M:
                continue
            k = 0
            while k < num and lanes[k] != lines.lane[i]:
                k += 1
            if k == MAX_LANES or (k < num and far[k] <= square):
                continue
            lanes[k], far[k] = lines.lane[i], square
            arcs[k] = lines.arc[i] + t / math.sqrt(s[INV_LENGTH2])
            num = max(num, k + 1)
    return num


@njit(cache=True)
def leads_into(lines: LaneLines, a: int, b: int) -> bool:
    """Whether lane `b` is a successor of lane `a`."""
    for n in range(lines.next_offsets[a], lines.next_offsets[a + 1]):  # noqa: SIM110, numba knows no generators
        if lines.next[n] == b:
            return True
    return False


@njit(cache=True)
def _goes_on(lines: LaneLines, lane: int, kept: Int) -> bool:
    """Whether one of the `kept` lanes is `lane`, leads into it or comes from it."""
    for other in kept:  # noqa: SIM110
        if other == lane or leads_into(lines, other, lane) or leads_into(lines, lane, other):
            return True
    return False


@njit(cache=True, error_model="numpy")
def _is_beside(lines: LaneLines, x: float, y: float, lane: int) -> bool:
    """Whether `lane` runs along within `BESIDE_M` of a point, and neither begins nor ends there."""
    for i in range(len(lines.segments)):
        if lines.lane[i] == lane:
            s = lines.segments[i]
            t = ((x - s[AX]) * s[EX] + (y - s[AY]) * s[EY]) * s[INV_LENGTH2]
            square = (x - s[AX] - t * s[EX]) ** 2 + (y - s[AY] - t * s[EY]) ** 2
            if 0 <= t <= 1 and square <= BESIDE_M * BESIDE_M:
                return True
    return False


@njit(cache=True, error_model="numpy")
def lane_changes(lines: LaneLines, x: Float, y: Float, cos: Float, sin: Float, valid: Bool) -> tuple[int, int]:
    """How often vehicles changed lanes, and at how many agent-steps it is known on which lanes they are.

    A change is where none of the lanes that a vehicle can have kept to is, or leads into, or comes from one that it is
    on now, though one of them goes on beside it. So neither the end of a lane nor a fork is a change, and a vehicle has
    changed once it is more than `ON_LANE_M` away from its old lane.

    Args:
        lines: The lanes.
        x: Positions ``[N, T]`` m of N vehicles at steps of 0.1 s; `y`, and cosine and sine of the yaw, likewise.
        valid: Where they are there.
    """
    changes, known = 0, 0
    kept, found = np.empty(MAX_LANES, np.int32), np.empty(MAX_LANES, np.int32)
    arcs, far = np.empty(MAX_LANES), np.empty(MAX_LANES)
    for n in range(x.shape[0]):
        num, lost = 0, 0
        for t in range(x.shape[1]):
            on = on_lanes(lines, x[n, t], y[n, t], cos[n, t], sin[n, t], found, arcs, far) if valid[n, t] else 0
            if on == 0:
                lost += 1
                if lost > LOST_STEPS or not valid[n, t]:
                    num = 0
                continue
            known, lost = known + 1, 0
            same = 0
            for k in range(on):
                if _goes_on(lines, found[k], kept[:num]):
                    found[same], found[k] = found[k], found[same]
                    same += 1
            if same == 0:
                for k in range(num):
                    if _is_beside(lines, x[n, t], y[n, t], kept[k]):
                        changes += 1
                        break
            num = same if same else on
            kept[:num] = found[:num]
    return changes, known


@njit(cache=True, error_model="numpy")
def gaps_ahead(
    lines: LaneLines,
    x: Float,
    y: Float,
    cos: Float,
    sin: Float,
    half_length: Float,
    present: Bool,
    followers: NDArray[np.intp],
    reach: Float,
) -> Float:
    """Bumper-to-bumper gap of vehicles to whoever is next along the lane that they are on, or along those it leads to.

    Args:
        lines: The lanes.
        x: Positions ``[A]`` m of everybody who may lead or follow; `y`, cosine, sine and half length [m] likewise.
        present: Who is there, bool ``[A]``.
        followers: Whose gaps are asked for, ``[E]``.
        reach: How far to look, from bumper to bumper, ``[E]`` m.

    Returns:
        ``[E]`` m, inf where nobody is that near.
    """
    num_of = np.full(len(x), -1, np.int32)
    lanes = np.empty((len(x), MAX_LANES), np.int32)
    arcs, far = np.empty((len(x), MAX_LANES)), np.empty((len(x), MAX_LANES))
    near = np.empty(len(x), np.int32)
    gaps = np.full(len(followers), np.inf)
    for e in range(len(followers)):
        i = followers[e]
        if not present[i] or reach[e] <= 0:
            continue
        num = 0
        for j in range(len(x)):
            if not present[j]:
                continue
            within = reach[e] + half_length[i] + half_length[j]
            if (x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2 > within * within:
                continue
            if num_of[j] < 0:
                num_of[j] = on_lanes(lines, x[j], y[j], cos[j], sin[j], lanes[j], arcs[j], far[j])
            if j != i:
                near[num] = j
                num += 1
        if num and num_of[i]:
            own = np.argmin(far[i, : num_of[i]])
            gap = _gap_along(lines, lanes[i, own], arcs[i, own], near[:num], num_of, lanes, arcs, half_length, reach[e])
            gaps[e] = max(gap - half_length[i], 0.0)
            if gaps[e] > reach[e]:
                gaps[e] = np.inf
    return gaps


@njit(cache=True)
def _gap_along(
    lines: LaneLines,
    lane: int,
    arc: float,
    others: Int,
    num_of: Int,
    lanes: Int,
    arcs: Float,
    half_length: Float,
    reach: float,
) -> float:
    """From `arc` m along a lane to the nearest of the `others`' rear bumpers, over all ways on from there; m."""
    open_lane, open_arc = np.empty(64, np.int32), np.empty(64)
    open_lane[0], open_arc[0], num, best = lane, -arc, 1, np.inf
    while num:
        num -= 1
        lane, begin = open_lane[num], open_arc[num]  # where the lane begins, from the follower on
        for j in others:
            for k in range(num_of[j]):
                if lanes[j, k] == lane and begin + arcs[j, k] > 0:
                    best = min(best, begin + arcs[j, k] - half_length[j])
        end = begin + lines.length[lane]
        if end < min(best, reach + 20.0):  # a leader's centre is at most half a long vehicle beyond its rear bumper
            for n in range(lines.next_offsets[lane], lines.next_offsets[lane + 1]):
                if num < 64:
                    open_lane[num], open_arc[num] = lines.next[n], end
                    num += 1
    return best
