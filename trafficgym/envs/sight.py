"""What an agent sees, computed: the kernels behind `observations.Observer`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.envs.road_points import cell_of, gather, gather_rings, insert, nearest_points
from trafficgym.scene.scene import SignalState
from trafficgym.world.pointers import (
    bytes_,
    floats,
)
from trafficgym.world.road_index import (
    NUM_SIGNALS,
    NUM_STEPS,
    SIGNAL_STATE,
    SIGNALS,
    STOP_X,
    STOP_Y,
)
from trafficgym.world.state import (
    ACCELERATION,
    COS,
    HEIGHT,
    LENGTH,
    PRESENT,
    SIN,
    SPEED,
    WIDTH,
    YAW_RATE,
    X,
    Y,
    Z,
)

SPEED_SCALE = 30.0  # m/s
ACCELERATION_SCALE = 10.0  # m/s^2
LENGTH_SCALE = 20.0  # m
WIDTH_SCALE = 5.0  # m
GOAL_SCALE = 200.0  # m
HEIGHT_SCALE = 10.0  # m
SEGMENT_SCALE = 10.0  # m
TYPE_SCALE = 21.0

_FAR = np.float32(1e30)
# Which feature of a signal says that it shows a state: 2 stop, 3 caution, 4 go (`observations.SIGNAL_FEATURES`).
_SIGNAL_ROW = np.zeros(len(SignalState), np.int64)
_SIGNAL_ROW[[SignalState.STOP, SignalState.ARROW_STOP, SignalState.FLASHING_STOP]] = 2
_SIGNAL_ROW[[SignalState.CAUTION, SignalState.ARROW_CAUTION, SignalState.FLASHING_CAUTION]] = 3
_SIGNAL_ROW[[SignalState.GO, SignalState.ARROW_GO]] = 4


class Memory(NamedTuple):
    """What saves work from step to step; never changes what is seen."""

    cell: NDArray[np.int32]  # (B, A) grid cell for which `points` were gathered, -1 for none
    num: NDArray[np.int32]  # (B, A) how many of them there are
    points: NDArray[np.float32]  # (B, A, 7, R) rows of `RoadIndex.points`
    rings: NDArray[np.int64]  # (B, 2) addresses of what `_rings` has found in each world's scene


@njit(cache=True, inline="always")
def _clip(value):
    return min(max(value, np.float32(-1.0)), np.float32(1.0))


@njit(cache=True, error_model="numpy")
def observe(table, alive, goal, step_index, rows, memory, sizes, sorts, radii, out):
    memory = Memory(*memory)
    num_agents, num_roads, num_signals = sizes[0], sizes[1], sizes[2]
    num_slots = table.shape[1]
    others, place = np.empty((7, num_slots), np.float32), np.empty(num_slots, np.int32)
    far, found = np.empty(num_slots, np.float32), np.empty(num_slots + 1, np.int32)
    chosen, chosen_far = np.empty(num_roads, np.int32), np.empty(num_roads, np.float32)
    road_at = 7 + 7 * num_agents
    signals_at = road_at + 7 * num_roads
    for b in range(out.shape[0]):
        row = rows[b]
        num_here = _line_up(table[b], others, place)
        for a in range(out.shape[1]):
            view = out[b, a]
            if a >= num_slots or not alive[b, a]:
                view[:] = 0
                continue
            own = table[b, a]
            _see_ego(own, goal[b, a], view)
            num = _near(own, place[a], others, num_here, radii[0], num_agents, far, found)
            if sorts[0]:
                _sort(far, found[:num])
            _see_agents(own, others, found[:num], radii[0], view[7:road_at])
            points = memory.points[b, a]
            if sorts[1]:
                memory.num[b, a] = nearest_points(own[X], own[Y], row, radii[1], chosen, chosen_far)
                gather(chosen, memory.num[b, a], row, points)
            else:
                cell = cell_of(own[X], own[Y], row)
                if memory.cell[b, a] != cell:
                    memory.cell[b, a] = cell
                    memory.num[b, a] = gather_rings(cell, row, memory.rings[b], radii[1], points)
            _see_road(own, points, memory.num[b, a], radii[1], view[road_at:signals_at])
            if num_signals:
                _see_signals(own, row, step_index[b], radii[1], view[signals_at:])


@njit(cache=True, error_model="numpy")
def _line_up(table, others, place):
    """Lay out, feature by feature, what agents see of those on the road.

    Args:
        table: Slots of one world, ``[N, 16]``.
        others: float32 ``[7, N]``, written: x, y [m], cosine and sine of yaw, speed, length and width, scaled.
        place: int32 ``[N]``, written: the column of each slot in `others`.

    Returns:
        How many are on the road.
    """
    num = 0
    for n in range(len(table)):
        slot = table[n]
        place[n] = num
        others[0, num], others[1, num], others[2, num], others[3, num] = slot[X], slot[Y], slot[COS], slot[SIN]
        others[4, num] = _clip(slot[SPEED] * np.float32(1.0 / SPEED_SCALE))
        others[5, num] = _clip(slot[LENGTH] * np.float32(1.0 / LENGTH_SCALE))
        others[6, num] = _clip(slot[WIDTH] * np.float32(1.0 / WIDTH_SCALE))
        if slot[PRESENT] != 0:
            num += 1
    return num


@njit(cache=True, error_model="numpy")
def _see_ego(own, goal, view):
    view[0] = _clip(own[SPEED] / np.float32(SPEED_SCALE))
    view[1] = _clip(own[ACCELERATION] / np.float32(ACCELERATION_SCALE))
    view[2] = _clip(own[YAW_RATE])
    view[3] = _clip(own[LENGTH] / np.float32(LENGTH_SCALE))
    view[4] = _clip(own[WIDTH] / np.float32(WIDTH_SCALE))
    dx, dy = (goal[0] - own[X]) * goal[2], (goal[1] - own[Y]) * goal[2]
    view[5] = _clip((dx * own[COS] + dy * own[SIN]) / np.float32(GOAL_SCALE))
    view[6] = _clip((dy * own[COS] - dx * own[SIN]) / np.float32(GOAL_SCALE))


@njit(cache=True, error_model="numpy")
def _near(own, me, others, num_here, radius, room, far, found):
    """Find the nearest others, at most `room`, within `radius`; in the order of their slots.

    Args:
        me: The agent's own column in `others`.
        far: Scratch; holds the squared distances [m^2] afterwards.
        found: Columns of `others`, written; needs one place more than there are columns.

    Returns:
        How many were found.
    """
    x, y = own[X], own[Y]
    limit = radius * radius
    within = 0
    for n in range(num_here):
        dx, dy = others[0, n] - x, others[1, n] - y
        far[n] = dx * dx + dy * dy
        within += far[n] <= limit
    far[me] = _FAR
    if within - 1 > room:
        limit = _threshold(far, num_here, limit, within - 1, room)
    nearer = 0
    for n in range(num_here):
        nearer += far[n] < limit
    num, spare = 0, room - nearer
    for n in range(num_here):
        # Whoever is too far is written over by the next.
        found[num] = n
        at_limit = far[n] == limit
        num += ((far[n] < limit) | (at_limit & (spare > 0))) & (num < room)
        spare -= at_limit
    return num


@njit(cache=True, error_model="numpy")
def _threshold(far, num_here, high, num_high, k):
    """A distance that no more than k values are below and no less than k are not above.

    Where others stand is spread over the plane, so that their number grows evenly with the squared distance: going
    where that says finds it in a few rounds. Halving in between guards against crowds.

    Args:
        far: Squared distances.
        high: A threshold that is too high, for `num_high` > k values are within it.
    """
    low, num_low = np.float32(0.0), 0
    for turn in range(200):
        share = np.float32(k - num_low) / np.float32(num_high - num_low) if turn % 2 == 0 else np.float32(0.5)
        middle = low + (high - low) * share
        if middle <= low or middle >= high:
            if turn % 2 == 0:
                continue  # a share too small to move by; half may not be
            break
        num = 0
        for n in range(num_here):
            num += far[n] <= middle
        if num == k:
            return middle
        if num > k:
            high, num_high = middle, num
        else:
            low, num_low = middle, num
    return high  # several are exactly that far


@njit(cache=True, error_model="numpy")
def _sort(far, found):
    """Sort columns by distance; of equal ones the lower slot comes first."""
    for k in range(1, len(found)):
        n = found[k]
        key = far[n]
        j = k - 1
        while j >= 0 and far[found[j]] > key:
            found[j + 1] = found[j]
            j -= 1
        found[j + 1] = n


@njit(cache=True, error_model="numpy")
def _see_agents(own, others, found, radius, view):
    x, y, cos, sin = own[X], own[Y], own[COS], own[SIN]
    num, count = len(view) // 7, len(found)
    scale = np.float32(1.0) / radius
    # One short loop per pair of rows, so that each runs several wide.
    ahead, left, c, s = view[0:num], view[num : 2 * num], view[2 * num : 3 * num], view[3 * num : 4 * num]
    speed, length, width = view[4 * num : 5 * num], view[5 * num : 6 * num], view[6 * num : 7 * num]
    for k in range(count):
        n = found[k]
        ahead[k], left[k] = others[0, n] - x, others[1, n] - y
        c[k], s[k] = others[2, n], others[3, n]
        speed[k], length[k], width[k] = others[4, n], others[5, n], others[6, n]
    for k in range(count):
        dx, dy = ahead[k], left[k]
        ahead[k] = _clip((dx * cos + dy * sin) * scale)
        left[k] = _clip((dy * cos - dx * sin) * scale)
    for k in range(count):
        its_cos, its_sin = c[k], s[k]
        c[k] = _clip(its_cos * cos + its_sin * sin)
        s[k] = _clip(its_sin * cos - its_cos * sin)
    if count < num:
        for f in range(7):
            view[f * num + count : (f + 1) * num] = 0


@njit(cache=True, error_model="numpy")
def _see_road(own, points, count, radius, view):
    """Road points in the agent's frame. One short loop per pair of rows, so that each runs eight wide."""
    num = points.shape[1]
    x, y, cos, sin = own[X], own[Y], own[COS], own[SIN]
    bottom = own[Z] - np.float32(0.5) * own[HEIGHT]
    scale = np.float32(1.0) / radius
    px, py, pc, ps, pz, pl, pt = points[0], points[1], points[2], points[3], points[4], points[5], points[6]
    ahead, left = view[0:num], view[num : 2 * num]
    for k in range(count):
        dx, dy = px[k] - x, py[k] - y
        ahead[k] = _clip((dx * cos + dy * sin) * scale)
        left[k] = _clip((dy * cos - dx * sin) * scale)
    c, s = view[2 * num : 3 * num], view[3 * num : 4 * num]
    for k in range(count):
        c[k] = _clip(pc[k] * cos + ps[k] * sin)
        s[k] = _clip(ps[k] * cos - pc[k] * sin)
    height, length, kind = view[4 * num : 5 * num], view[5 * num : 6 * num], view[6 * num : 7 * num]
    for k in range(count):
        height[k] = _clip((pz[k] - bottom) * np.float32(1.0 / HEIGHT_SCALE))
    for k in range(count):
        length[k] = _clip(pl[k] * np.float32(1.0 / SEGMENT_SCALE))
    for k in range(count):
        kind[k] = (pt[k] + np.float32(1.0)) * np.float32(1.0 / TYPE_SCALE)
    if count < num:
        for f in range(7):
            view[f * num + count : (f + 1) * num] = 0


@njit(cache=True, error_model="numpy")
def _see_signals(own, row, step, radius, view):
    """The nearest signals that show something, nearest first."""
    room = len(view) // 5
    view[:] = 0
    if row[NUM_SIGNALS] == 0 or step >= row[NUM_STEPS]:
        return
    signals = floats(row[SIGNALS], (row[NUM_SIGNALS], 5))
    shown = bytes_(row[SIGNAL_STATE], (row[NUM_SIGNALS], row[NUM_STEPS]))
    chosen, far, count = np.empty(room, np.int32), np.empty(room, np.float32), 0
    for s in range(len(signals)):
        dx, dy = signals[s, STOP_X] - own[X], signals[s, STOP_Y] - own[Y]
        key = dx * dx + dy * dy
        if shown[s, step] == 0 or key > radius * radius or (count == room and key >= far[count - 1]):
            continue
        count = insert(s, key, chosen, far, count)
    for k in range(count):
        s = chosen[k]
        dx, dy = signals[s, STOP_X] - own[X], signals[s, STOP_Y] - own[Y]
        view[k] = _clip((dx * own[COS] + dy * own[SIN]) / radius)
        view[room + k] = _clip((dy * own[COS] - dx * own[SIN]) / radius)
        view[_SIGNAL_ROW[shown[s, step]] * room + k] = 1
