"""What the road says about a point or a box: the nearest edge and its side, and the lanes around."""

from __future__ import annotations

import numpy as np
from numba import njit

from trafficgym.world.geometry import corner, cross
from trafficgym.world.pointers import bytes_, floats, ints
from trafficgym.world.road_index import (
    AX,
    AY,
    AZ,
    CELL_M,
    EDGE_CELL,
    EDGE_LINK,
    EDGE_NEAR,
    EDGE_RING,
    EDGE_START,
    EDGES,
    EX,
    EY,
    EZ,
    GRID,
    INV_LENGTH2,
    LANE_CELL,
    LANE_START,
    LANES,
    LEVEL_M,
    NUM_EDGES,
    NUM_LANES,
    NUM_X,
    NUM_Y,
    column_of,
    line_of,
)

EDGE_REACH_M = 30.0
"""Road edges further away than this say nothing about where the road is."""
MAX_RING = int(EDGE_REACH_M / CELL_M) + 1
CHUNK = 64
"""Segments that are looked at in one go."""
Z_STRETCH = 3.0
"""Height counts threefold in the search for the nearest road edge, as in WOSAC (WOSAC.md section 6)."""


@njit(cache=True, error_model="numpy")
def nearest_edge(x, y, z, row):
    """The road edge segment nearest in 3-D, height stretched threefold (WOSAC.md section 6), within `EDGE_REACH_M`.

    Args:
        x: Query point [m], scene frame; y, z alike.
        row: `RoadIndex.row` of the scene.

    Returns:
        Segment, -1 for none; where on it the nearest point lies (0 to 1 from its start to its end; below 0
        and above 1 beyond them); and the stretched distance [m].
    """
    best, best_t, best_far = -1, np.float32(0.0), np.float32(EDGE_REACH_M * EDGE_REACH_M)
    if row[NUM_EDGES] == 0:
        return best, best_t, np.float32(EDGE_REACH_M)
    grid = floats(row[GRID], 4)
    num_x, num_y = row[NUM_X], row[NUM_Y]
    start = ints(row[EDGE_START], num_x * num_y + 1)
    index, near = _by_cell(start, row)
    far = np.empty(CHUNK, np.float32)
    gx, gy = column_of(x, grid, num_x), line_of(y, grid, num_y)
    cell_m = grid[3]
    left, low = grid[0] + gx * cell_m, grid[1] + gy * cell_m
    # From the query point to the nearest side of its own cell; negative outside the grid.
    inset = min(min(x - left, left + cell_m - x), min(y - low, low + cell_m - y))
    empty = bytes_(row[EDGE_RING], num_x * num_y)[gy * num_x + gx]
    if (empty - 1) * cell_m > EDGE_REACH_M:
        return best, best_t, np.float32(EDGE_REACH_M)
    # At first the square up to one ring beyond the nearest content, then ring after ring.
    ring, inner = empty + 1, -1
    while True:
        for cy in range(max(gy - ring, 0), min(gy + ring, num_y - 1) + 1):
            whole = cy < gy - inner or cy > gy + inner
            for side in range(1 if whole else 2):
                low = gx - ring if whole or side == 0 else gx + inner + 1
                high = gx + ring if whole or side == 1 else gx - inner - 1
                low, high = max(low, 0), min(high, num_x - 1)
                if low > high:
                    continue
                # Cells side by side list their segments side by side.
                first, end = start[cy * num_x + low], start[cy * num_x + high + 1]
                best, best_far = _nearer(x, y, z, near, index, first, end, far, best, best_far)
        safe = max(inset + ring * cell_m, np.float32(0.0))
        if safe * safe > best_far or ring > MAX_RING:
            break
        inner = ring
        ring += 1
    if best >= 0:
        best_t = _along(x, y, floats(row[EDGES], (row[NUM_EDGES], 8))[best])
    return best, best_t, np.sqrt(best_far)


@njit(cache=True, error_model="numpy")
def _by_cell(start, row):
    """Edge segments in the order of the cells that list them: their numbers ``[M]``, and their columns ``[7, M]``."""
    num = start[row[NUM_X] * row[NUM_Y]]
    return ints(row[EDGE_CELL], num), floats(row[EDGE_NEAR], (7, num))


@njit(cache=True, error_model="numpy")
def _nearer(x, y, z, near, index, first, end, far, best, best_far):
    """Look for a nearer segment among those listed from `first` to `end`; of equally near ones the lowest number.

    Args:
        near: and `index`, see `_by_cell`.
        far: Scratch, float32 ``[CHUNK]``.
        best: Segment found so far, -1 for none, and its squared stretched distance `best_far`.
    """
    while first < end:
        num = min(end - first, CHUNK)
        # Columns side by side and no branch, so that this runs eight wide.
        for k in range(num):
            i = first + k
            rx, ry = x - near[AX, i], y - near[AY, i]
            t = (rx * near[EX, i] + ry * near[EY, i]) * near[INV_LENGTH2, i]
            t = min(max(t, np.float32(0.0)), np.float32(1.0))
            rx -= t * near[EX, i]
            ry -= t * near[EY, i]
            rz = np.float32(Z_STRETCH) * (z - near[AZ, i] - t * near[EZ, i])
            far[k] = rx * rx + ry * ry + rz * rz
        for k in range(num):
            if far[k] <= best_far and (far[k] < best_far or index[first + k] < best):
                best, best_far = index[first + k], far[k]
        first += num
    return best, best_far


@njit(cache=True, error_model="numpy", inline="always")
def _along(x, y, edge):
    """Where on the line of a segment the point nearest to (x, y) lies; 0 at its start, 1 at its end."""
    return ((x - edge[AX]) * edge[EX] + (y - edge[AY]) * edge[EY]) * edge[INV_LENGTH2]


@njit(cache=True, error_model="numpy")
def edge_distance(x, y, z, row):
    """Signed distance to the nearest road edge (WOSAC.md section 6).

    Args:
        x: Query point [m], scene frame; y, z alike.
        row: `RoadIndex.row` of the scene.

    Returns:
        Distance in the plane [m], negative on the road (left of the edge), positive beyond it, NaN where no
        road edge is within `EDGE_REACH_M`; and the stretched distance by which that edge is the nearest [m].
    """
    best, t, far = nearest_edge(x, y, z, row)
    if best < 0:
        return np.float32(np.nan), far
    return _side(x, y, best, t, floats(row[EDGES], (row[NUM_EDGES], 8)), row), far


@njit(cache=True, error_model="numpy")
def is_corner_off(x, y, z, cos, sin, half_length, half_width, reach, row):
    """Whether a corner of a box is beyond its nearest road edge.

    Args:
        reach: The nearest edge of each corner is known to be within this distance of the box centre [m].
        row: `RoadIndex.row` of the scene.
    """
    grid = floats(row[GRID], 4)
    num_x, num_y = row[NUM_X], row[NUM_Y]
    edges = floats(row[EDGES], (row[NUM_EDGES], 8))
    start = ints(row[EDGE_START], num_x * num_y + 1)
    index, near = _by_cell(start, row)
    far = np.empty(CHUNK, np.float32)
    left, right = column_of(x - reach, grid, num_x), column_of(x + reach, grid, num_x)
    low, high = line_of(y - reach, grid, num_y), line_of(y + reach, grid, num_y)
    for c in range(4):
        cx, cy = corner(c, x, y, cos, sin, half_length, half_width)
        best, best_far = -1, np.float32(1e18)
        for line in range(low, high + 1):
            first, end = start[line * num_x + left], start[line * num_x + right + 1]
            best, best_far = _nearer(cx, cy, z, near, index, first, end, far, best, best_far)
        if best >= 0 and _side(cx, cy, best, _along(cx, cy, edges[best]), edges, row) > 0:
            return True
    return False


@njit(cache=True, error_model="numpy")
def _side(x, y, i, t, edges, row):
    """Signed distance to segment i; at a corner of the polyline both its sides decide (WOSAC.md section 6)."""
    link = ints(row[EDGE_LINK], (row[NUM_EDGES], 2))
    rx, ry = x - edges[i, AX], y - edges[i, AY]
    side = cross(rx, ry, edges[i, EX], edges[i, EY])
    other = link[i, 0] if t < 0 else (link[i, 1] if t > 1 else -1)
    if other >= 0:
        first, second = (other, i) if t < 0 else (i, other)
        turn = cross(edges[first, EX], edges[first, EY], edges[second, EX], edges[second, EY])
        beside = cross(x - edges[other, AX], y - edges[other, AY], edges[other, EX], edges[other, EY])
        own, its = np.sign(side), np.sign(beside)
        side = max(own, its) if turn > 0 else min(own, its)
    tc = min(max(t, np.float32(0.0)), np.float32(1.0))
    rx -= tc * edges[i, EX]
    ry -= tc * edges[i, EY]
    return np.sign(side) * np.sqrt(rx * rx + ry * ry)


@njit(cache=True, error_model="numpy")
def lanes_at(x, y, z, cos, sin, reach, row):
    """What the lanes around a point say.

    Args:
        x: Query point [m], scene frame; y, z alike.
        cos: Cosine of the heading; sin alike.
        reach: A lane counts where its centre line is within this distance [m] and on the same level.
        row: `RoadIndex.row` of the scene.

    Returns:
        segment: the nearest lane segment that runs within 90 degrees of the heading, else the nearest one,
            else -1.
        along: whether that segment runs within 90 degrees of the heading.
        height: z of the nearest centre line of any direction [m], or `z` where there is none.
    """
    found, found_along, height = -1, False, z
    if row[NUM_LANES] == 0:
        return found, found_along, height
    grid = floats(row[GRID], 4)
    num_x, num_y = row[NUM_X], row[NUM_Y]
    lanes = floats(row[LANES], (row[NUM_LANES], 8))
    start = ints(row[LANE_START], num_x * num_y + 1)
    index = ints(row[LANE_CELL], start[num_x * num_y])
    best = best_along = reach * reach
    nearest, nearest_along = -1, -1
    low, high = column_of(x - reach, grid, num_x), column_of(x + reach, grid, num_x)
    for cy in range(line_of(y - reach, grid, num_y), line_of(y + reach, grid, num_y) + 1):
        # Cells side by side list their segments side by side.
        for k in range(start[cy * num_x + low], start[cy * num_x + high + 1]):
            i = index[k]
            rx, ry = x - lanes[i, AX], y - lanes[i, AY]
            t = (rx * lanes[i, EX] + ry * lanes[i, EY]) * lanes[i, INV_LENGTH2]
            t = min(max(t, np.float32(0.0)), np.float32(1.0))
            rx -= t * lanes[i, EX]
            ry -= t * lanes[i, EY]
            far = rx * rx + ry * ry
            if far >= best and far >= best_along:
                continue
            floor = lanes[i, AZ] + t * lanes[i, EZ]
            if abs(floor - z) > LEVEL_M:
                continue
            if far < best:
                best, nearest, height = far, i, floor
            if far < best_along and lanes[i, EX] * cos + lanes[i, EY] * sin > 0:
                best_along, nearest_along = far, i
    if nearest_along >= 0:
        return nearest_along, True, height
    return nearest, False, height
