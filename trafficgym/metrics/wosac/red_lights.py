"""Red-light violations (WOSAC.md section 7), the official search for the nearest lane with its sign error included."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.scene import SignalState
from trafficgym.world.road_index import cells_of_segments, column_of, line_of, make_grid

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

CELL_M = 10.0
_ARROW_STOP, _STOP = int(SignalState.ARROW_STOP), int(SignalState.STOP)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_SLACK = np.float32(1.0 + 1e-6)
_SLACK_M = np.float32(0.01)


class RedLights:
    """Surface-street lanes and the signals over them.

    The official code lays lanes out as rows of a table, filled up with zeros to the longest. Each point of a lane
    stands for the segment that begins there; the last one, but for the longest lanes, for a segment that ends in the
    origin of the source's coordinates.

    Args:
        lanes: Centre lines of the surface-street lanes in the order of the source, float32 ``[n, 3]`` m in the source's
            coordinates; those of fewer than two points are left out.
        lane_ids: Their ids in the source.
        signal_lane_ids: Lane id of each signal, ``[S]``.
        state: `SignalState` of each signal, ``[S, T]``; 0 where there is no entry.
        stop: Where traffic stops, float32 ``[S, T, 2]`` m; 0 where there is no entry.
    """

    def __init__(
        self,
        lanes: list[Float],
        lane_ids: NDArray[np.int64],
        signal_lane_ids: NDArray[np.int64],
        state: NDArray[np.int8],
        stop: Float,
    ) -> None:
        kept = [k for k, line in enumerate(lanes) if len(line) >= 2]
        most = max((len(lanes[k]) for k in kept), default=0)
        rows: dict[int, int] = {}
        tables, owners = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.int32)]
        for row, k in enumerate(kept):
            points = lanes[k][:, :2]
            ends = np.concatenate([points[1:], np.zeros((1, 2), np.float32)])
            table = np.concatenate([points, ends - points], 1)
            tables.append(table if len(points) < most else table[:-1])
            owners.append(np.full(len(tables[-1]), row, np.int32))
            rows.setdefault(int(lane_ids[k]), row)
        self.segments = np.concatenate(tables)  # start x, y, extent x, y
        self.row = np.concatenate(owners)
        signals = [s for s, lane in enumerate(signal_lane_ids) if int(lane) in rows]
        self.signal_row = np.array([rows[int(signal_lane_ids[s])] for s in signals], np.int32)
        self.state = np.ascontiguousarray(state[signals])
        # What each signal's stop point lies on: start, extent of the segment, and how far along it.
        self.stop = np.zeros((len(signals), state.shape[1], 5), np.float32)
        row_start = np.searchsorted(self.row, np.arange(len(kept) + 1)).astype(np.int64)
        _place_stops(self.segments, row_start, self.signal_row, np.ascontiguousarray(stop[signals]), self.stop)
        starts = np.zeros((len(self.segments), 8), np.float32)
        starts[:, :2] = self.segments[:, :2]
        self.grid, self.shape = make_grid(starts[:, :2], CELL_M)
        self.cell_start, self.listed = cells_of_segments(starts, self.grid, self.shape)

    def violations(self, x: Float, y: Float, valid: Bool) -> Bool:
        """Whether each object crosses the stop point of the lane that it is on while the signal shows stop.

        Args:
            x: Box centres, float32 ``[R, E, T]`` m in the source's coordinates, steps as of the signals; y alike.
            valid: Which objects are there, bool ``[E, T]``.

        Returns:
            bool ``[R, E, T]``.
        """
        out = np.zeros(x.shape, bool)
        if len(self.signal_row):
            index = (self.segments, self.cell_start, self.listed, self.grid, *self.shape)
            _violations(x, y, valid, self.signal_row, self.state, self.stop, self.row, index, out)
        return out

    def nearest(self, x: Float, y: Float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The lane (row among those kept) and the point of it that the official search gives, int32 ``[P]`` each."""
        index = (self.segments, self.cell_start, self.listed, self.grid, *self.shape)
        found = np.array([_nearest(px, py, index) for px, py in zip(x, y, strict=True)], np.int64)
        row = self.row[found]
        return row, (found - np.searchsorted(self.row, row)).astype(np.int32)


@njit(cache=True, error_model="numpy", inline="always")
def _along(qx, qy, ex, ey):
    square = ex * ex + ey * ey
    return (qx * ex + qy * ey) / square if square > 0 else _ZERO


@njit(cache=True, error_model="numpy", inline="always")
def _official_distance(x, y, segment):
    """Distance of a point from a segment but for the sign: the way along is added where it should be taken off."""
    qx, qy = x - segment[0], y - segment[1]
    t = min(max(_along(qx, qy, segment[2], segment[3]), _ZERO), _ONE)
    rx, ry = qx + t * segment[2], qy + t * segment[3]
    return np.sqrt(rx * rx + ry * ry)


@njit(cache=True, error_model="numpy")
def _place_stops(segments, row_start, signal_row, stop, out):
    for s in range(len(stop)):
        first, end = row_start[signal_row[s]], row_start[signal_row[s] + 1]
        for t in range(stop.shape[1]):
            px, py = stop[s, t, 0], stop[s, t, 1]
            best, best_away = first, np.float32(np.inf)
            for k in range(first, end):
                away = _official_distance(px, py, segments[k])
                if away < best_away:
                    best, best_away = k, away
            out[s, t, :4] = segments[best]
            out[s, t, 4] = _along(px - out[s, t, 0], py - out[s, t, 1], out[s, t, 2], out[s, t, 3])


@njit(cache=True, error_model="numpy")
def _nearest(x, y, index):
    """The segment at the least official distance, of equal ones the first.

    That distance is never less than the one from the segment's start, by which the grid is searched.
    """
    segments, start, listed, grid, num_x, num_y = index
    best, best_away = -1, np.float32(np.inf)
    radius = grid[3]
    while True:
        low_x, high_x = column_of(x - radius, grid, num_x), column_of(x + radius, grid, num_x)
        low_y, high_y = line_of(y - radius, grid, num_y), line_of(y + radius, grid, num_y)
        for line in range(low_y, high_y + 1):
            for k in range(start[line * num_x + low_x], start[line * num_x + high_x + 1]):
                i = listed[k]
                away = _official_distance(x, y, segments[i])
                if away < best_away or (away == best_away and i < best):
                    best, best_away = i, away
        everything = low_x == 0 and low_y == 0 and high_x == num_x - 1 and high_y == num_y - 1
        if best_away <= radius or everything:
            return best
        radius = min(radius * np.float32(2.0), best_away * _SLACK + _SLACK_M)


@njit(cache=True, error_model="numpy")
def _violations(x, y, valid, signal_row, state, stop, row, index, out):
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            for s in range(len(signal_row)):
                was_before = False
                for t in range(x.shape[2]):
                    ax, ay, ex, ey, stop_along = stop[s, t]
                    along = _along(x[r, i, t] - ax, y[r, i, t] - ay, ex, ey)
                    crosses = was_before and along > stop_along
                    was_before = along < stop_along
                    if not crosses or not valid[i, t] or out[r, i, t]:
                        continue
                    if state[s, t] != _STOP and state[s, t] != _ARROW_STOP:
                        continue
                    out[r, i, t] = row[_nearest(x[r, i, t], y[r, i, t], index)] == signal_row[s]
