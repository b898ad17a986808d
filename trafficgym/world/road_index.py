"""A uniform grid over one scene's road, built once, so that no query costs more on a larger map.

Kernels over many worlds reach the index of each world through a row of addresses (`RoadIndex.row`): the
arrays stay where they are, worlds that hold the same scene share one index, and nothing is copied when a
world is given another scene.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from trafficgym.scene.scene import RoadMap, RoadType, Scene
from trafficgym.world.geometry import cross

CELL_M = 5.0
MAX_CELLS = 1 << 20
SIMPLIFY_M = 0.02
"""Edges and lane centre lines are thinned where they stay within this distance of the original."""
MAX_SEGMENT_M = 8.0
LEVEL_M = 2.5
"""Two things further apart in height than this are on different levels of the road."""

# Columns of the segment tables.
AX, AY, AZ, EX, EY, EZ, INV_LENGTH2, SPEED_LIMIT = range(8)
# Rows of the point table.
POINT_X, POINT_Y, POINT_COS, POINT_SIN, POINT_Z, POINT_LENGTH, POINT_TYPE = range(7)
# Columns of the signal table.
STOP_X, STOP_Y, STOP_Z, STOP_COS, STOP_SIN = range(5)
# Columns of `RoadIndex.row`.
(
    GRID,
    POINTS,
    POINT_START,
    EDGES,
    EDGE_LINK,
    EDGE_START,
    EDGE_CELL,
    EDGE_NEAR,
    EDGE_RING,
    LANES,
    LANE_START,
    LANE_CELL,
    SIGNALS,
    SIGNAL_STATE,
    NUM_X,
    NUM_Y,
    NUM_POINTS,
    NUM_EDGES,
    NUM_LANES,
    NUM_SIGNALS,
    NUM_STEPS,
) = range(21)
ROW_SIZE = 21


class RoadIndex:
    """Grid, road points for observations, edge and lane segments, and signals of one scene.

    Args:
        scene: The scene; only its road and signals are used.
        point_spacing: Distance between the road points that observations show [m].
    """

    def __init__(self, scene: Scene, *, point_spacing: float = 4.0) -> None:
        road = scene.road
        self.grid, self.shape = make_grid(scene.road.xyz[:, :2], CELL_M)
        self.points, self.point_start = _index_points(road, self.grid, self.shape, point_spacing)
        self.edges, self.edge_feature, self.edge_link = _segments(road, road.is_edge)
        self.edge_start, self.edge_cell = cells_of_segments(self.edges, self.grid, self.shape)
        listed = self.edge_cell[: self.edge_start[-1]]
        self.edge_near = np.ascontiguousarray(self.edges[listed, :7].T)
        self.edge_ring = _rings_to_content(self.edge_start, self.shape[0], self.shape[1])
        self.lanes, self.lane_feature, _ = _segments(road, road.is_lane)
        self.lane_start, self.lane_cell = cells_of_segments(self.lanes, self.grid, self.shape)
        self.signals, self.signal_state = _index_signals(scene, self.lanes, self.lane_feature)
        self.row = self._addresses()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "row"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Without this a copy would go on reading the arrays of the original, which may be gone.
        vars(self).update(state)
        self.row = self._addresses()

    def _addresses(self) -> np.ndarray:
        row = np.zeros(ROW_SIZE, np.int64)
        arrays = {
            GRID: self.grid,
            POINTS: self.points,
            POINT_START: self.point_start,
            EDGES: self.edges,
            EDGE_LINK: self.edge_link,
            EDGE_START: self.edge_start,
            EDGE_CELL: self.edge_cell,
            EDGE_NEAR: self.edge_near,
            EDGE_RING: self.edge_ring,
            LANES: self.lanes,
            LANE_START: self.lane_start,
            LANE_CELL: self.lane_cell,
            SIGNALS: self.signals,
            SIGNAL_STATE: self.signal_state,
        }
        for column, array in arrays.items():
            assert array.flags.c_contiguous
            row[column] = array.ctypes.data
        row[NUM_X], row[NUM_Y] = self.shape
        row[NUM_POINTS] = self.points.shape[1]
        row[NUM_EDGES] = len(self.edges)
        row[NUM_LANES] = len(self.lanes)
        row[NUM_SIGNALS], row[NUM_STEPS] = self.signal_state.shape
        return row

    @property
    def nbytes(self) -> int:
        """Memory held [bytes]."""
        return sum(a.nbytes for a in vars(self).values() if isinstance(a, np.ndarray))


@njit(cache=True, inline="always")
def column_of(x, grid, num_x):
    """Grid column of x, clamped to the grid."""
    return min(max(int(np.floor((x - grid[0]) * grid[2])), 0), num_x - 1)


@njit(cache=True, inline="always")
def line_of(y, grid, num_y):
    """Grid line of y, clamped to the grid."""
    return min(max(int(np.floor((y - grid[1]) * grid[2])), 0), num_y - 1)


def make_grid(points: np.ndarray, cell: float) -> tuple[np.ndarray, tuple[int, int]]:
    """Lay a grid over points ``[P, 2]`` m.

    Args:
        cell: Width of a cell [m]; it is doubled until the grid has at most `MAX_CELLS`.

    Returns:
        Lower corner, 1 / width and width of a cell (float32 ``[4]``), and the number of cells in x and y.
    """
    if not len(points):
        points = np.zeros((1, 2), np.float32)
    low, high = points.min(0) - 1.0, points.max(0) + 1.0
    while np.prod(np.ceil((high - low) / cell)) > MAX_CELLS:
        cell *= 2
    num = np.maximum(np.ceil((high - low) / cell), 1).astype(int)
    return np.array([low[0], low[1], 1 / cell, cell], np.float32), (int(num[0]), int(num[1]))


def _index_points(
    road: RoadMap, grid: np.ndarray, shape: tuple[int, int], spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Road points every `spacing` metres of each feature, by cell: float32 ``[7, P]``; starts ``[cells + 1]``."""
    is_polygon = (
        (road.type == RoadType.CROSSWALK) | (road.type == RoadType.SPEED_BUMP) | (road.type == RoadType.DRIVEWAY)
    )
    points = _sample_points(road.xyz, road.offsets, road.type, is_polygon, np.float32(spacing))
    cell = _cell_of_points(points, grid, shape[0], shape[1])
    order = np.argsort(cell, kind="stable")
    start = np.zeros(shape[0] * shape[1] + 1, np.int32)
    np.cumsum(np.bincount(cell, minlength=shape[0] * shape[1]), out=start[1:])
    return np.ascontiguousarray(points[:, order]), start


@njit(cache=True)
def _cell_of_points(points, grid, num_x, num_y):
    cell = np.empty(points.shape[1], np.int32)
    for i in range(points.shape[1]):
        cell[i] = line_of(points[POINT_Y, i], grid, num_y) * num_x + column_of(points[POINT_X, i], grid, num_x)
    return cell


@njit(cache=True)
def _sample_points(xyz, offsets, kind, is_polygon, spacing):
    out = np.empty((7, len(xyz) + len(kind)), np.float32)
    num = 0
    for f in range(len(kind)):
        first, end = offsets[f], offsets[f + 1]
        if end == first:
            continue
        i = first
        while i < end:
            # The next point at least `spacing` further along, or the end of the feature.
            arc = np.float32(0.0)
            j = i
            while arc < np.float32(0.999) * spacing and j + 1 < end:  # points a round metre apart add up to less
                step = np.hypot(xyz[j + 1, 0] - xyz[j, 0], xyz[j + 1, 1] - xyz[j, 1])
                if arc > 0 and arc + step > 1.5 * spacing:
                    break
                arc += step
                j += 1
            closes = j == i and is_polygon[f] and end - first > 2
            target = first if closes else j
            dx, dy = xyz[target, 0] - xyz[i, 0], xyz[target, 1] - xyz[i, 1]
            length = np.hypot(dx, dy)
            if length > 0 or end - first == 1:
                scale = np.float32(1.0) / length if length > 0 else np.float32(0.0)
                out[POINT_X, num] = xyz[i, 0] + dx * np.float32(0.5)
                out[POINT_Y, num] = xyz[i, 1] + dy * np.float32(0.5)
                out[POINT_Z, num] = np.float32(0.5) * (xyz[i, 2] + xyz[target, 2])
                out[POINT_COS, num] = dx * scale if length > 0 else np.float32(1.0)
                out[POINT_SIN, num] = dy * scale
                out[POINT_LENGTH, num] = length
                out[POINT_TYPE, num] = kind[f]
                num += 1
            if j == i:
                break
            i = j
    return out[:, :num].copy()


def _segments(road: RoadMap, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segments of the chosen features: float32 ``[n, 8]``; feature int32 ``[n]``; previous, next int32 ``[n, 2]``."""
    return _cut(road.xyz, road.offsets, chosen, road.speed_limit)


@njit(cache=True)
def _cut(xyz, offsets, chosen, speed_limit):
    capacity = 16
    for f in range(len(chosen)):
        if chosen[f]:
            for i in range(offsets[f] + 1, offsets[f + 1]):
                step = np.hypot(xyz[i, 0] - xyz[i - 1, 0], xyz[i, 1] - xyz[i - 1, 1])
                capacity += 1 + int(step / MAX_SEGMENT_M)
    table = np.zeros((capacity, 8), np.float32)
    feature = np.zeros(capacity, np.int32)
    link = np.full((capacity, 2), -1, np.int32)
    num = 0
    for f in range(len(chosen)):
        if not chosen[f] or offsets[f + 1] - offsets[f] < 2:
            continue
        start = num
        i, last = offsets[f], offsets[f + 1] - 1
        while i < last:
            j = furthest_straight(xyz, i, last, SIMPLIFY_M, MAX_SEGMENT_M)
            ex, ey, ez = xyz[j, 0] - xyz[i, 0], xyz[j, 1] - xyz[i, 1], xyz[j, 2] - xyz[i, 2]
            pieces = 1 + int(np.hypot(ex, ey) / MAX_SEGMENT_M)
            for k in range(pieces):
                t = np.float32(k) / np.float32(pieces)
                px, py, pz = ex / pieces, ey / pieces, ez / pieces
                if px * px + py * py > 1e-12:  # one micrometre
                    table[num, AX] = xyz[i, 0] + t * ex
                    table[num, AY] = xyz[i, 1] + t * ey
                    table[num, AZ] = xyz[i, 2] + t * ez
                    table[num, EX], table[num, EY], table[num, EZ] = px, py, pz
                    table[num, INV_LENGTH2] = np.float32(1.0) / (px * px + py * py)
                    table[num, SPEED_LIMIT] = speed_limit[f]
                    feature[num] = f
                    num += 1
            i = j
        for k in range(start, num):
            link[k, 0] = k - 1 if k > start else -1
            link[k, 1] = k + 1 if k < num - 1 else -1
        a, b = offsets[f], offsets[f + 1] - 1
        gap = (xyz[a, 0] - xyz[b, 0]) ** 2 + (xyz[a, 1] - xyz[b, 1]) ** 2 + (xyz[a, 2] - xyz[b, 2]) ** 2
        if num > start + 1 and gap < 1.0:
            link[start, 0] = num - 1
            link[num - 1, 1] = start
    return table[:num].copy(), feature[:num].copy(), link[:num].copy()


@njit(cache=True)
def furthest_straight(xyz, i, last, tolerance, longest):
    """The furthest of the points up to `last` that a chord from point i reaches in at most `longest` metres while the
    points between lie within `tolerance` metres of it (and their heights within 0.1 m)."""
    best = i + 1
    for j in range(i + 2, last + 1):
        ex, ey, ez = xyz[j, 0] - xyz[i, 0], xyz[j, 1] - xyz[i, 1], xyz[j, 2] - xyz[i, 2]
        length = np.hypot(ex, ey)
        if length > longest or length < 1e-6:
            break
        straight = True
        for k in range(i + 1, j):
            rx, ry = xyz[k, 0] - xyz[i, 0], xyz[k, 1] - xyz[i, 1]
            t = (rx * ex + ry * ey) / (length * length)
            off = abs(cross(rx, ry, ex, ey)) / length
            if off > tolerance or t < 0 or t > 1 or abs(xyz[k, 2] - xyz[i, 2] - t * ez) > 0.1:
                straight = False
                break
        if not straight:
            break
        best = j
    return best


def cells_of_segments(table: np.ndarray, grid: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """For each cell the segments whose bounding box touches it: starts int32 ``[cells + 1]`` and indices."""
    return _bin_segments(table, grid, shape[0], shape[1])


@njit(cache=True)
def _bin_segments(table, grid, num_x, num_y):
    start = np.zeros(num_x * num_y + 1, np.int32)
    bounds = np.empty((len(table), 4), np.int32)
    for i in range(len(table)):
        ax, ay = table[i, AX], table[i, AY]
        bx, by = ax + table[i, EX], ay + table[i, EY]
        bounds[i, 0], bounds[i, 1] = column_of(min(ax, bx), grid, num_x), column_of(max(ax, bx), grid, num_x)
        bounds[i, 2], bounds[i, 3] = line_of(min(ay, by), grid, num_y), line_of(max(ay, by), grid, num_y)
        for gy in range(bounds[i, 2], bounds[i, 3] + 1):
            for gx in range(bounds[i, 0], bounds[i, 1] + 1):
                start[gy * num_x + gx + 1] += 1
    for c in range(num_x * num_y):
        start[c + 1] += start[c]
    fill = start[:-1].copy()
    index = np.empty(max(start[-1], 1), np.int32)
    for i in range(len(table)):
        for gy in range(bounds[i, 2], bounds[i, 3] + 1):
            for gx in range(bounds[i, 0], bounds[i, 1] + 1):
                c = gy * num_x + gx
                index[fill[c]] = i
                fill[c] += 1
    return start, index


@njit(cache=True)
def _rings_to_content(start, num_x, num_y):
    """How many rings around each cell are empty (Chebyshev distance transform), int8 ``[cells]``."""
    ring = np.empty(num_x * num_y, np.int8)
    for c in range(num_x * num_y):
        ring[c] = 0 if start[c + 1] > start[c] else 100
    for turn in range(2):
        for k in range(num_x * num_y):
            c = k if turn == 0 else num_x * num_y - 1 - k
            gx, gy = c % num_x, c // num_x
            back = -1 if turn == 0 else 1
            for dx, dy in ((back, 0), (-1, back), (0, back), (1, back)):
                if 0 <= gx + dx < num_x and 0 <= gy + dy < num_y:
                    ring[c] = min(ring[c], ring[c + dy * num_x + dx] + 1)
    return ring


def _index_signals(scene: Scene, lanes: np.ndarray, feature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stop point and lane direction there, float32 ``[S, 5]``; state, int8 ``[S, T]``, UNKNOWN where absent."""
    signals = scene.signals
    table = np.zeros((signals.num_signals, 5), np.float32)
    state = np.where(signals.valid, signals.state, 0).astype(np.int8)
    for s in range(signals.num_signals):
        own = np.flatnonzero(feature == signals.lane[s]) if signals.lane[s] >= 0 else np.zeros(0, int)
        if not signals.valid[s].any() or not len(own):
            state[s] = 0  # nobody can cross a stop line that is on no lane
            continue
        stop = signals.stop[s, np.flatnonzero(signals.valid[s])[0]]
        segments = lanes[own]
        t = ((stop[0] - segments[:, AX]) * segments[:, EX] + (stop[1] - segments[:, AY]) * segments[:, EY]) * segments[
            :, INV_LENGTH2
        ]
        t = np.clip(t, 0, 1)
        off = np.hypot(stop[0] - segments[:, AX] - t * segments[:, EX], stop[1] - segments[:, AY] - t * segments[:, EY])
        nearest = segments[off.argmin()]
        direction = nearest[[EX, EY]] * np.sqrt(nearest[INV_LENGTH2])
        table[s] = (*stop, *direction)
    return table, np.ascontiguousarray(state)
