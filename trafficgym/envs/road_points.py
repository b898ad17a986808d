"""Which road points an agent sees: by rings of grid cells around its own, or exactly the nearest."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numba import njit

from trafficgym.world.pointers import (
    floats,
    ints,
)
from trafficgym.world.road_index import (
    GRID,
    NUM_POINTS,
    NUM_X,
    NUM_Y,
    POINT_START,
    POINT_X,
    POINT_Y,
    POINTS,
    RoadIndex,
    column_of,
    line_of,
)


class Rings:
    """The road points that `_rings` chooses for each cell of one scene, found when somebody first comes there.

    Attributes:
        row: Addresses of the points, int32 ``[cells, R]``, and of their numbers, int32 ``[cells]`` (0: not yet found,
            else one more).
    """

    def __init__(self, num_cells: int, room: int) -> None:
        # Zeros cost no memory before they are written to.
        self._chosen = np.zeros((num_cells, room), np.int32)
        self._num = np.zeros(num_cells, np.int32)
        self.row = np.array([self._chosen.ctypes.data, self._num.ctypes.data], np.int64)

    def __reduce__(self) -> Any:
        return Rings, (len(self._num), self._chosen.shape[1])  # a copy finds them anew, in arrays of its own


def rings_of(road: RoadIndex, room: int, radius: float) -> Rings:
    """The rings of a scene, for at most `room` points within `radius` metres; kept as long as the road is."""
    kept = _RINGS.setdefault(road, {})
    if (room, radius) not in kept:
        kept[room, radius] = Rings(road.shape[0] * road.shape[1], room)
    return kept[room, radius]


_RINGS: WeakKeyDictionary[RoadIndex, dict[tuple[int, float], Rings]] = WeakKeyDictionary()
"""Kept as long as the scene itself, and shared by the worlds that hold it."""


@njit(cache=True, error_model="numpy")
def cell_of(x, y, row):
    grid = floats(row[GRID], 4)
    return line_of(y, grid, row[NUM_Y]) * row[NUM_X] + column_of(x, grid, row[NUM_X])


@njit(cache=True, error_model="numpy")
def _rings(cell, row, radius, chosen):
    """Choose the road points around `cell`, ring of cells after ring, until `chosen` is full or `radius` reached."""
    room, count = len(chosen), 0
    num_x, num_y = row[NUM_X], row[NUM_Y]
    start = ints(row[POINT_START], num_x * num_y + 1)
    gx, gy = cell % num_x, cell // num_x
    rings = int(np.ceil(radius / floats(row[GRID], 4)[3]))
    for ring in range(rings + 1):
        for cy in range(max(gy - ring, 0), min(gy + ring, num_y - 1) + 1):
            whole = cy == gy - ring or cy == gy + ring
            for side in range(1 if whole or ring == 0 else 2):
                # Cells side by side hold points side by side: the whole line of a ring is one run.
                low = gx - ring if side == 0 else gx + ring
                high = gx + ring if whole else low
                low, high = max(low, 0), min(high, num_x - 1)
                if low > high:
                    continue
                first, end = start[cy * num_x + low], start[cy * num_x + high + 1]
                num = min(end - first, room - count)
                for k in range(num):
                    chosen[count + k] = first + k
                count += num
                if count == room:
                    return count
    return count


@njit(cache=True, error_model="numpy")
def gather_rings(cell, row, found, radius, points):
    """Copy the road points that `_rings` chooses for a cell; chosen once, kept in `found`, a row of `Memory.rings`."""
    room, num_cells = points.shape[1], row[NUM_X] * row[NUM_Y]
    chosen, num = ints(found[0], (num_cells, room))[cell], ints(found[1], num_cells)
    if num[cell] == 0:
        num[cell] = 1 + _rings(cell, row, radius, chosen)
    gather(chosen, num[cell] - 1, row, points)
    return num[cell] - 1


@njit(cache=True, error_model="numpy")
def gather(chosen, count, row, points):
    """Copy the chosen columns of the scene's road points."""
    source = floats(row[POINTS], (7, row[NUM_POINTS]))
    for f in range(7):
        for k in range(count):
            points[f, k] = source[f, chosen[k]]


@njit(cache=True, error_model="numpy")
def nearest_points(x, y, row, radius, chosen, far):
    """Choose exactly the nearest road points, nearest first; `far` is scratch."""
    room, count = len(chosen), 0
    if room == 0 or row[NUM_POINTS] == 0:
        return 0
    num_x, num_y = row[NUM_X], row[NUM_Y]
    grid = floats(row[GRID], 4)
    start = ints(row[POINT_START], num_x * num_y + 1)
    source = floats(row[POINTS], (7, row[NUM_POINTS]))
    gx, gy = column_of(x, grid, num_x), line_of(y, grid, num_y)
    left, low = grid[0] + gx * grid[3], grid[1] + gy * grid[3]
    inset = min(min(x - left, left + grid[3] - x), min(y - low, low + grid[3] - y))
    for ring in range(max(num_x, num_y) + 1):
        safe = max(inset + (ring - 1) * grid[3], np.float32(0.0))
        if safe > radius or (count == room and safe * safe > far[count - 1]):
            break
        for cy in range(max(gy - ring, 0), min(gy + ring, num_y - 1) + 1):
            stride = 1 if cy == gy - ring or cy == gy + ring else max(2 * ring, 1)
            for cx in range(gx - ring, gx + ring + 1, stride):
                if cx < 0 or cx >= num_x:
                    continue
                for i in range(start[cy * num_x + cx], start[cy * num_x + cx + 1]):
                    dx, dy = source[POINT_X, i] - x, source[POINT_Y, i] - y
                    key = dx * dx + dy * dy
                    if key > radius * radius or (count == room and key >= far[count - 1]):
                        continue
                    count = insert(i, key, chosen, far, count)
    return count


@njit(cache=True, error_model="numpy")
def insert(item, key, chosen, far, count):
    """Put an item into a list that is sorted by key, in place of the last one where the list is full.

    Args:
        chosen: Items, and `far` their keys; the first `count` are there.

    Returns:
        How many are there now.
    """
    j = min(count, len(chosen) - 1)
    while j > 0 and far[j - 1] > key:
        far[j], chosen[j] = far[j - 1], chosen[j - 1]
        j -= 1
    far[j], chosen[j] = key, item
    return min(count + 1, len(chosen))
