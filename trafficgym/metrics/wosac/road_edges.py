"""Signed distance to the nearest road edge (WOSAC.md section 6)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.metrics.wosac.interaction import cos_sin, put_corners
from trafficgym.world.geometry import cross
from trafficgym.world.road_index import AX, AY, AZ, EX, EY, EZ, cells_of_segments, column_of, line_of, make_grid

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

ABSENT = np.float32(-1e10)
"""Value of objects that are absent."""
CYCLIC_M = 1.0
"""A polyline whose ends are nearer than this is closed."""
CELL_M = 6.0
_Z_STRETCH = np.float32(3.0)
_CHUNK = 64
_HALF, _ZERO, _ONE = np.float32(0.5), np.float32(0.0), np.float32(1.0)
_TIE = np.float32(1.0 + 1e-6)
"""Squares of distances nearer to each other than this may have the same root."""


class RoadEdges:
    """The road edges of one scene, for any number of queries.

    The official code lays polylines out as rows of a table, filled up with zeros to the longest, and finds the segment
    before the first in the last column: closed polylines therefore join at their ends only if they are the longest.

    Args:
        polylines: Points of each edge in the order of the source, float32 ``[n, 3]`` m in the source's coordinates;
            those of fewer than two points are left out.
    """

    def __init__(self, polylines: list[Float]) -> None:
        polylines = [line for line in polylines if len(line) >= 2]
        most = max((len(line) for line in polylines), default=0)
        tables, links = [np.zeros((0, 8), np.float32)], [np.zeros((0, 2), np.int32)]
        start = 0
        for line in polylines:
            num = len(line) - 1
            table = np.zeros((num, 8), np.float32)
            table[:, AX : AZ + 1], table[:, EX : EZ + 1] = line[:-1], line[1:] - line[:-1]
            link = np.stack([np.arange(-1, num - 1), np.arange(1, num + 1)], 1) + start
            gap = line[0] - line[-1]
            closed = len(line) == most and float(gap @ gap) < CYCLIC_M**2
            link[0, 0], link[-1, 1] = (start + num - 1, start) if closed else (-1, -1)
            tables.append(table)
            links.append(link.astype(np.int32))
            start += num
        self.segments = np.concatenate(tables)
        self.links = np.concatenate(links)
        self.grid, self.shape = make_grid(np.concatenate([np.zeros((0, 3), np.float32), *polylines])[:, :2], CELL_M)
        self.cell_start, listed = cells_of_segments(self.segments, self.grid, self.shape)
        self.listed = np.ascontiguousarray(listed[: self.cell_start[-1]])
        # Columns side by side, so that a row of cells is read in one go.
        self.columns = np.ascontiguousarray(self.segments[self.listed, : EZ + 1].T)

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.segments)

    def distance(self, x: Float, y: Float, z: Float, yaw: Float, sizes: Float, valid: Bool) -> Float:
        """Signed distance of the outermost bottom corner of each box from its nearest road edge.

        Args:
            x: Box centres, float32 ``[R, E, T]`` m in the source's coordinates; y, z alike.
            yaw: Headings, float32 ``[R, E, T]`` rad.
            sizes: Length, width and height of the boxes, float32 ``[E, 3]`` m.
            valid: Which boxes are there, bool ``[E, T]``.

        Returns:
            float32 ``[R, E, T]`` m, positive off the road, `ABSENT` where not valid.
        """
        out = np.empty(x.shape, np.float32)
        index = (self.segments, self.links, self.columns, self.listed, self.cell_start, self.grid, *self.shape)
        _boxes(x, y, z, yaw, sizes, valid, index, out)
        return out

    def distance_of_points(self, points: Float) -> Float:
        """Signed distance of points, float32 ``[P, 3]`` m, from the nearest road edge, float32 ``[P]`` m."""
        out = np.empty(len(points), np.float32)
        index = (self.segments, self.links, self.columns, self.listed, self.cell_start, self.grid, *self.shape)
        _points(points, index, out)
        return out


@njit(cache=True, error_model="numpy")
def _points(points, index, out):
    far, hint = np.empty(_CHUNK, np.float32), -1
    for p in range(len(points)):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        hint = _nearest(x, y, z, index, hint, far)
        out[p] = _signed(x, y, hint, index[0], index[1])


@njit(cache=True, error_model="numpy")
def _boxes(x, y, z, yaw, sizes, valid, index, out):
    corner_x, corner_y = np.empty(4, np.float32), np.empty(4, np.float32)
    far, hint = np.empty(_CHUNK, np.float32), np.empty(4, np.int64)
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            half_length, half_width, half_height = sizes[i, 0] * _HALF, sizes[i, 1] * _HALF, sizes[i, 2] * _HALF
            hint[:] = -1
            for t in range(x.shape[2]):
                out[r, i, t] = ABSENT
                if not valid[i, t]:
                    continue
                cos, sin = cos_sin(yaw[r, i, t])
                put_corners(x[r, i, t], y[r, i, t], cos, sin, half_length, half_width, corner_x, corner_y)
                bottom = z[r, i, t] - half_height
                for c in range(4):
                    # The segment that was nearest a step ago, or to the corner before, bounds the search.
                    first = hint[c] if hint[c] >= 0 or c == 0 else hint[c - 1]
                    hint[c] = _nearest(corner_x[c], corner_y[c], bottom, index, first, far)
                    away = _signed(corner_x[c], corner_y[c], hint[c], index[0], index[1])
                    out[r, i, t] = max(out[r, i, t], away)


@njit(cache=True, error_model="numpy")
def _nearest(x, y, z, index, hint, far):
    """The segment nearest to a point in 3-D, height stretched; of equally near ones the first.

    Args:
        index: Tables and grid of `RoadEdges`.
        hint: A segment that may be near, -1 for none.
        far: Scratch, float32 ``[_CHUNK]``.
    """
    segments, _links, columns, listed, start, grid, num_x, num_y = index
    best, best_square, best_root = -1, np.float32(np.inf), np.float32(np.inf)
    radius = grid[3]
    if hint >= 0:
        best, best_square = hint, _square(x, y, z, segments[hint])
        best_root = np.sqrt(best_square)
        radius = best_root * _TIE + np.float32(0.01)
    while True:
        low_x, high_x = column_of(x - radius, grid, num_x), column_of(x + radius, grid, num_x)
        low_y, high_y = line_of(y - radius, grid, num_y), line_of(y + radius, grid, num_y)
        for line in range(low_y, high_y + 1):
            # Cells side by side list their segments side by side.
            first, end = start[line * num_x + low_x], start[line * num_x + high_x + 1]
            while first < end:
                num = min(end - first, _CHUNK)
                for k in range(num):  # no branch, so that this runs eight wide
                    i = first + k
                    qx, qy, qz = x - columns[AX, i], y - columns[AY, i], z - columns[AZ, i]
                    ex, ey = columns[EX, i], columns[EY, i]
                    square = ex * ex + ey * ey
                    t = (qx * ex + qy * ey) / square
                    t = min(max(t, _ZERO), _ONE) if square > 0 else _ZERO
                    rx, ry, rz = qx - t * ex, qy - t * ey, (qz - t * columns[EZ, i]) * _Z_STRETCH
                    far[k] = rx * rx + ry * ry + rz * rz
                for k in range(num):
                    if far[k] <= best_square * _TIE:
                        segment, root = listed[first + k], np.sqrt(far[k])
                        if root < best_root or (root == best_root and segment < best):
                            best, best_root, best_square = segment, root, far[k]
                first += num
        everything = low_x == 0 and low_y == 0 and high_x == num_x - 1 and high_y == num_y - 1
        if best_root <= radius or everything:
            return best
        radius = min(radius * np.float32(2.0), best_root * _TIE + np.float32(0.01))


@njit(cache=True, error_model="numpy", inline="always")
def _square(x, y, z, segment):
    """Square of the stretched distance of a point from a segment."""
    qx, qy, qz = x - segment[AX], y - segment[AY], z - segment[AZ]
    t = min(max(_along(qx, qy, segment), _ZERO), _ONE)
    rx, ry, rz = qx - t * segment[EX], qy - t * segment[EY], (qz - t * segment[EZ]) * _Z_STRETCH
    return rx * rx + ry * ry + rz * rz


@njit(cache=True, error_model="numpy", inline="always")
def _along(qx, qy, segment):
    """Where beside a segment a point lies, 0 at its start, 1 at its end; 0 for one without length."""
    square = segment[EX] * segment[EX] + segment[EY] * segment[EY]
    return (qx * segment[EX] + qy * segment[EY]) / square if square > 0 else _ZERO


@njit(cache=True, error_model="numpy", inline="always")
def _side(x, y, segment):
    """-1 on the left of a segment, which is the road, 1 on its right, 0 on its line."""
    return np.sign(cross(x - segment[AX], y - segment[AY], segment[EX], segment[EY]))


@njit(cache=True, error_model="numpy")
def _signed(x, y, i, segments, links):
    """Distance in the plane from segment i, negative on the road; beyond its ends both segments there decide."""
    segment = segments[i]
    qx, qy = x - segment[AX], y - segment[AY]
    t = _along(qx, qy, segment)
    side = _side(x, y, segment)
    other = links[i, 0] if t < 0 else (links[i, 1] if t > 1 else -1)
    if other >= 0:
        first, second = (other, i) if t < 0 else (i, other)
        turn = cross(segments[first, EX], segments[first, EY], segments[second, EX], segments[second, EY])
        beside = _side(x, y, segments[other])
        side = max(side, beside) if turn > 0 else min(side, beside)
    t = min(max(t, _ZERO), _ONE)
    rx, ry = qx - t * segment[EX], qy - t * segment[EY]
    return side * np.sqrt(rx * rx + ry * ry)
