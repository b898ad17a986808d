"""The searches of WOSAC.md sections 4 to 7 in plain NumPy, everything against everything.

Distances between boxes and times to collision are worked out in float64 from other formulas than ours; road edges and
lanes in float32, in the order of operations of the specification, since there the choice among equals matters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]


# --- boxes (sections 4 and 5) -----------------------------------------------------------------------------------------


def _corners(x: float, y: float, yaw: float, length: float, width: float) -> Float64:
    c, s = np.cos(yaw), np.sin(yaw)
    along, aside = np.array([1, -1, -1, 1]) * length / 2, np.array([1, 1, -1, -1]) * width / 2
    return np.stack([x + along * c - aside * s, y + along * s + aside * c], axis=-1)


def _signed_distance(a: Float64, b: Float64) -> float:
    """Of two rectangles: the largest gap along their axes, or the nearest corner where that is outside."""

    def local(box: Float64, points: Float64) -> tuple[Float64, Float64, Float64]:
        middle, along, aside = box.mean(0), box[0] - box[1], box[0] - box[3]
        half = np.array([np.linalg.norm(along), np.linalg.norm(aside)]) / 2
        return (points - middle) @ (along / (2 * half[0])), (points - middle) @ (aside / (2 * half[1])), half

    gaps, corners = [], []
    for box, other in ((a, b), (b, a)):
        u, v, half = local(box, other)
        gaps += [abs(u.mean()) - half[0] - np.ptp(u) / 2, abs(v.mean()) - half[1] - np.ptp(v) / 2]
        corners.append(np.hypot(np.maximum(np.abs(u) - half[0], 0), np.maximum(np.abs(v) - half[1], 0)).min())
    return max(gaps) if max(gaps) <= 0 else min(corners)


def nearest_object(
    x: Float, y: Float, yaw: Float, length: Float, width: Float, valid: NDArray[np.bool_], num_evaluated: int
) -> Float64:
    """Of ``[N]`` objects the first E: float64 ``[E]``."""
    shrink = 0.7 * np.minimum(length, width).astype(np.float64) / 2
    boxes = [_corners(x[n], y[n], yaw[n], length[n] - 2 * shrink[n], width[n] - 2 * shrink[n]) for n in range(len(x))]
    found = np.full(num_evaluated, 1e10)
    for i in range(num_evaluated):
        for j in range(len(x)):
            if i != j and valid[i] and valid[j]:
                found[i] = min(found[i], _signed_distance(boxes[i], boxes[j]) - shrink[i] - shrink[j])
    return found


def time_to_collision(
    x: Float, y: Float, yaw: Float, speed: Float, length: Float, width: Float, valid: NDArray[np.bool_],
    num_evaluated: int, margin: float,
) -> tuple[Float64, NDArray[np.bool_]]:  # fmt: skip
    """Of ``[N]`` objects the first E: float64 ``[E]``, and where it hangs on less than `margin`, bool ``[E]``."""
    x, y, yaw, v, lengths, widths = (a.astype(np.float64) for a in (x, y, yaw, speed, length, width))
    found, unsure = np.full(num_evaluated, 5.0), np.zeros(num_evaluated, bool)
    for i in range(num_evaluated):
        turn = np.abs(yaw - yaw[i])
        c, s = np.abs(np.cos(turn)), np.abs(np.sin(turn))
        dx, dy = x - x[i], y - y[i]
        rx, ry = dx * np.cos(yaw[i]) + dy * np.sin(yaw[i]), dy * np.cos(yaw[i]) - dx * np.sin(yaw[i])
        long = rx - lengths[i] / 2 - (lengths / 2 * c + widths / 2 * s)
        lat = np.abs(ry) - widths[i] / 2 - (lengths / 2 * s + widths / 2 * c)
        follow = (long > 0) & (turn <= np.radians(75)) & (lat < 0) & ((lat < -0.5) | (turn <= np.radians(10))) & valid
        near = [np.abs(long), np.abs(lat), np.abs(lat + 0.5)]
        near += [1e3 * np.abs(turn - np.radians(limit)) for limit in (75, 10)]
        doubtful = (np.min(near, axis=0) < margin) & valid & (np.arange(len(x)) != i)
        key = long + 1e10 * ~follow
        j = int(key.argmin())
        # Not asked: whether somebody follows by a hair, and who of two is ahead by a hair.
        rivals = np.sort(key)[:2]
        unsure[i] = doubtful.any() or (len(x) > 1 and key[j] < 1e9 and rivals[1] - rivals[0] < margin)
        if follow[j] and v[i] - v[j] > 0:
            found[i] = min(long[j] / (v[i] - v[j]), 5.0)
    return found, unsure


# --- road edges (section 6) -------------------------------------------------------------------------------------------


def distance_to_edges(points: Float, polylines: list[Float]) -> Float:
    """Signed distance of points ``[P, 3]``, by the padded table of the official code."""
    lines = [line for line in polylines if len(line) >= 2]
    most = max(map(len, lines))
    table, there = np.zeros((len(lines), most, 3), np.float32), np.zeros((len(lines), most), bool)
    for row, line in enumerate(lines):
        table[row, : len(line)], there[row, : len(line)] = line, True
    cyclic = np.array([float(((line[0] - line[-1]) ** 2).sum()) < 1.0 for line in lines])[:, None]
    start, extent, valid = table[:, :-1], table[:, 1:] - table[:, :-1], there[:, :-1] & there[:, 1:]

    def before(a: NDArray) -> NDArray:
        return np.concatenate([np.where(cyclic, a[:, -1:], a[:, :1]), a[:, :-1]], axis=1)

    def after(a: NDArray) -> NDArray:
        return np.concatenate([a[:, 1:], np.where(cyclic, a[:, :1], a[:, -1:])], axis=1)

    previous = np.roll(extent, 1, axis=1)
    convex = _cross(previous, extent) > 0
    convex_after = np.roll(convex, -1, axis=1)  # the last is the one before the first
    valid_before, valid_after = before(valid), after(valid)
    square = extent[..., 0] * extent[..., 0] + extent[..., 1] * extent[..., 1]
    out = np.empty(len(points), np.float32)
    for p, q in enumerate(points):
        away = q - start
        with np.errstate(invalid="ignore", divide="ignore"):
            t = (away[..., 0] * extent[..., 0] + away[..., 1] * extent[..., 1]) / square
        t = np.where(square > 0, t, np.float32(0))
        clipped = np.clip(t, np.float32(0), np.float32(1))
        rest = away - clipped[..., None] * extent
        flat = rest[..., 0] * rest[..., 0] + rest[..., 1] * rest[..., 1]
        stretched = np.float32(3) * rest[..., 2]
        key = np.where(valid, np.sqrt(flat + stretched * stretched), np.float32(1e10))
        n = np.sign(_cross(away, extent))
        at_start = np.where(convex, np.maximum(n, before(n)), np.minimum(n, before(n)))
        at_end = np.where(convex_after, np.maximum(n, after(n)), np.minimum(n, after(n)))
        sign = np.where((t < 0) & valid_before, at_start, np.where((t > 1) & valid_after, at_end, n))
        k = np.unravel_index(key.argmin(), key.shape)
        out[p] = sign[k] * np.sqrt(flat[k])
    return out


def _cross(a: NDArray, b: NDArray) -> NDArray:
    found: NDArray = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return found


# --- lanes (section 7) ------------------------------------------------------------------------------------------------


def nearest_lane(points: Float, lanes: list[Float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row among those of two points and more, and slot in it, of each point ``[P, 2]``, sign error and all."""
    lines = [line for line in lanes if len(line) >= 2]
    most = max(map(len, lines))
    table, there = np.zeros((len(lines), most, 2), np.float32), np.zeros((len(lines), most), bool)
    for row, line in enumerate(lines):
        table[row, : len(line)], there[row, : len(line)] = line[:, :2], True
    start, extent = table[:, :-1], table[:, 1:] - table[:, :-1]
    square = extent[..., 0] * extent[..., 0] + extent[..., 1] * extent[..., 1]
    rows, slots = np.empty(len(points), np.int64), np.empty(len(points), np.int64)
    for p, q in enumerate(points):
        away = q - start
        with np.errstate(invalid="ignore", divide="ignore"):
            t = (away[..., 0] * extent[..., 0] + away[..., 1] * extent[..., 1]) / square
        t = np.clip(np.where(square > 0, t, np.float32(0)), np.float32(0), np.float32(1))
        wrong = away + t[..., None] * extent
        key = np.sqrt(wrong[..., 0] * wrong[..., 0] + wrong[..., 1] * wrong[..., 1])
        rows[p], slots[p] = np.unravel_index(np.where(there[:, :-1], key, np.inf).argmin(), key.shape)
    return rows, slots
