"""Signed distance to the nearest object and time to collision (WOSAC.md sections 4 and 5).

Both follow the official code's float32 operations in the source's coordinates, ten kilometres from their origin: there
the corners of boxes lie on a grid of a millimetre, and only boxes that are put together in the same way touch at the
same step.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

CORNER_ROUNDING = np.float32(0.7)
"""Share of the smaller half extent by which box corners are rounded."""
FAR = np.float32(1e10)
"""Distance to the nearest object where there is none."""
MAX_TTC_S = np.float32(5.0)
_MAX_YAW = np.float32(math.radians(75.0))
_MAX_YAW_SMALL_OVERLAP = np.float32(math.radians(10.0))
_SMALL_OVERLAP_M = np.float32(0.5)
_SLACK_M = np.float32(0.01)
"""What float32 may lose at ten kilometres; bounds that only save work leave so much room."""
_HALF, _TWO = np.float32(0.5), np.float32(2.0)


@njit(cache=True, error_model="numpy", inline="always")
def cos_sin(yaw):
    """Cosine and sine, rounded once to float32."""
    return np.float32(math.cos(np.float64(yaw))), np.float32(math.sin(np.float64(yaw)))


@njit(cache=True, error_model="numpy", inline="always")
def put_corners(x, y, cos, sin, half_length, half_width, out_x, out_y):
    """Corners of a box, counter-clockwise from the front left, into two float32 ``[4]``."""
    for c in range(4):
        along = half_length if c == 0 or c == 3 else -half_length
        aside = half_width if c < 2 else -half_width
        out_x[c] = along * cos - aside * sin + x
        out_y[c] = along * sin + aside * cos + y


def interaction(
    x: Float, y: Float, yaw: Float, speed: Float, length: Float, width: Float, valid: Bool, num_evaluated: int
) -> tuple[Float, Float]:
    """Distance to the nearest object, and time to collision with the object ahead.

    Args:
        x: Box centres, float32 ``[R, T, N]`` m, the evaluated objects first; y alike.
        yaw: Headings, float32 ``[R, T, N]`` rad, compared as they are, without wrapping.
        speed: `kinematics.speed_in_plane`, float32 ``[R, T, N]`` m/s.
        length: Of the boxes, float32 ``[N]`` m; width alike.
        valid: Which objects are there, bool ``[T, N]``.
        num_evaluated: E.

    Returns:
        distance: signed distance to the nearest other object, corners rounded, float32 ``[R, E, T]`` m; negative where
            they overlap, `FAR` where either is absent.
        ttc: float32 ``[R, E, T]`` s, at most `MAX_TTC_S`.
    """
    shape = len(x), num_evaluated, x.shape[1]
    distance, ttc = np.empty(shape, np.float32), np.empty(shape, np.float32)
    _interaction(x, y, yaw, speed, length, width, valid, distance, ttc)
    return distance, ttc


@njit(cache=True, error_model="numpy")
def _interaction(x, y, yaw, speed, length, width, valid, distance, ttc):
    num_rollouts, num_steps, num = x.shape
    num_evaluated = distance.shape[1]
    radius, shrink = np.empty(num, np.float32), np.empty(num, np.float32)
    widest = np.float32(0.0)
    for n in range(num):
        radius[n] = np.sqrt(length[n] * length[n] + width[n] * width[n]) * _HALF + _SLACK_M
        shrink[n] = CORNER_ROUNDING * min(length[n], width[n]) * _HALF
        widest = max(widest, radius[n])
    corner_x, corner_y = np.empty((num, 4), np.float32), np.empty((num, 4), np.float32)
    has_corners = np.empty(num, np.bool_)
    order, rank = np.arange(num), np.arange(num)
    nearest = np.empty(num_evaluated, np.int64)
    scratch = np.empty((2, 8), np.float32)
    for r in range(num_rollouts):
        nearest[:] = -1
        for t in range(num_steps):
            xs, ys, psi = x[r, t], y[r, t], yaw[r, t]
            _sort(xs, order, rank)
            has_corners[:] = False
            boxes = (xs, ys, psi, length, width, radius, widest, valid[t], order)
            corners = (shrink, corner_x, corner_y, has_corners, scratch)
            for i in range(num_evaluated):
                ttc[r, i, t] = _time_to_collision(i, speed[r, t], boxes, rank[i])
                distance[r, i, t] = FAR
                if valid[t, i]:
                    distance[r, i, t], nearest[i] = _nearest(i, nearest[i], boxes, corners, rank[i])


@njit(cache=True, error_model="numpy")
def _nearest(i, hint, boxes, corners, rank):
    """Distance to the nearest object, and which one; `hint` may be near, -1 for none."""
    xs, ys, _psi, _length, _width, radius, widest, valid, order = boxes
    best, nearest = FAR, hint
    if hint >= 0 and valid[hint]:
        # The one that was nearest a step ago bounds the search from the start.
        best = _distance(i, hint, boxes, corners)
    for side in range(2):
        k = rank
        while True:
            k += 1 if side else -1
            if k < 0 or k >= len(order):
                break
            j = order[k]
            dx, dy = xs[j] - xs[i], ys[j] - ys[i]
            if abs(dx) - radius[i] - widest > best:
                break
            reach = best + radius[i] + radius[j]
            if j == hint or not valid[j] or reach < 0 or dx * dx + dy * dy > reach * reach:
                continue
            gap = _distance(i, j, boxes, corners)
            if gap < best:
                best, nearest = gap, j
    return best, nearest


@njit(cache=True, error_model="numpy")
def _sort(values, order, rank):
    """Sort `order` by value; by insertion, since the order hardly changes from one step to the next."""
    for k in range(1, len(order)):
        item = order[k]
        value = values[item]
        while k > 0 and values[order[k - 1]] > value:
            order[k] = order[k - 1]
            k -= 1
        order[k] = item
    for k in range(len(order)):
        rank[order[k]] = k


@njit(cache=True, error_model="numpy")
def _distance(i, j, boxes, corners):
    """Signed distance between the rounded boxes of two objects."""
    xs, ys, psi, length, width = boxes[:5]
    shrink, corner_x, corner_y, has_corners, scratch = corners
    for n in (i, j):
        if not has_corners[n]:
            cos, sin = cos_sin(psi[n])
            half_length = (length[n] - _TWO * shrink[n]) * _HALF
            half_width = (width[n] - _TWO * shrink[n]) * _HALF
            put_corners(xs[n], ys[n], cos, sin, half_length, half_width, corner_x[n], corner_y[n])
            has_corners[n] = True
    gap = _polygon_distance(corner_x[i], corner_y[i], corner_x[j], corner_y[j], scratch)
    return gap - shrink[i] - shrink[j]


@njit(cache=True, error_model="numpy")
def _polygon_distance(ax, ay, bx, by, polygon):
    """Signed distance of the origin to the Minkowski sum of box a and box b turned around: that between the boxes."""
    first_a, first_b = 0, 0
    for c in range(1, 4):
        if ay[c] < ay[first_a]:
            first_a = c
        if by[c] > by[first_b]:
            first_b = c
    next_a, next_b = (first_a + 1) % 4, (first_b + 1) % 4
    edge_ax, edge_ay = ax[next_a] - ax[first_a], ay[next_a] - ay[first_a]
    edge_bx, edge_by = bx[first_b] - bx[next_b], by[first_b] - by[next_b]
    a_first = edge_ax * edge_by - edge_ay * edge_bx >= 0
    for k in range(8):
        ahead, behind = (k + 1) // 2, k // 2
        a = (first_a + (ahead if a_first else behind)) % 4
        b = (first_b + (behind if a_first else ahead)) % 4
        polygon[0, k], polygon[1, k] = ax[a] - bx[b], ay[a] - by[b]
    best = FAR
    inside = True
    for k in range(8):
        px, py = polygon[0, k], polygon[1, k]
        after = (k + 1) % 8
        ex, ey = polygon[0, after] - px, polygon[1, after] - py
        long = np.sqrt(ex * ex + ey * ey)
        best = min(best, np.sqrt(px * px + py * py))
        if long > 0:
            tx, ty = ex / long, ey / long
            aside = tx * py - ty * px  # of the origin, to the right of the edge
            along = -(px * tx + py * ty) / long
            if aside > 0:
                inside = False
            if along >= 0 and along <= 1:
                best = min(best, abs(aside))
    return -best if inside else best


@njit(cache=True, error_model="numpy")
def _time_to_collision(i, speed, boxes, rank):
    xs, ys, psi, length, width, radius, widest, valid, order = boxes
    if not speed[i] > 0:  # nor where it is not known
        return MAX_TTC_S
    cos, sin = cos_sin(psi[i])
    half_length, half_width = length[i] * _HALF, width[i] * _HALF
    ahead, nearest = -1, FAR
    # What own speed does not reach in time cannot bring it below the maximum.
    reach = speed[i] * MAX_TTC_S * np.float32(1.01) + radius[i] + widest + np.float32(1.0)
    for side in range(2):
        k = rank
        while True:
            k += 1 if side else -1
            if k < 0 or k >= len(order):
                break
            j = order[k]
            dx, dy = xs[j] - xs[i], ys[j] - ys[i]
            if abs(dx) > reach:
                break
            along, aside = dx * cos + dy * sin, abs(dy * cos - dx * sin)
            if not valid[j] or along <= half_length or aside > half_width + radius[j]:
                continue
            gap = _gap_ahead(along - half_length, aside - half_width, length[j], width[j], abs(psi[j] - psi[i]))
            if gap < nearest or (gap == nearest and j < ahead):
                nearest, ahead = gap, j
    if ahead < 0:
        return MAX_TTC_S
    closing = speed[i] - speed[ahead]
    return min(nearest / closing, MAX_TTC_S) if closing > 0 else MAX_TTC_S


@njit(cache=True, error_model="numpy")
def _gap_ahead(along, aside, length, width, turn):
    """Gap to an object if it is being followed, else `FAR`.

    Args:
        along: From own front to its centre [m].
        aside: From own side to its centre [m].
        turn: Between both headings, not wrapped [rad].
    """
    if turn > _MAX_YAW:
        return FAR
    c, s = abs(np.cos(turn)), abs(np.sin(turn))
    gap = along - (length * _HALF * c + width * _HALF * s)
    overlap = aside - (length * _HALF * s + width * _HALF * c)
    follows = gap > 0 and overlap < 0
    return gap if follows and (overlap < -_SMALL_OVERLAP_M or turn <= _MAX_YAW_SMALL_OVERLAP) else FAR
