# mypy: allow-untyped-defs
"""From polylines to map tokens: pieces of five metres, each the nearest template."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym_agents.policies.smart.polylines import Polylines
from trafficgym_agents.policies.smart.tokens import MapTokens

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int = NDArray[np.int64]

SPACING = 0.5
"""m between samples of a polyline; a piece has eleven."""
LONGEST_GAP = 3.0
"""m between points of a polyline; where they are further apart, it is two."""
SKELETON = (0, 5, 10)
"""The samples of a piece by which it is matched."""
NOWHERE = 6e4
"""m in the scene frame, x and y of the token that stands for a scene without a map."""


def map_tokens(
    polylines: Polylines,
    map_pieces: Float,
    *,
    nearest: int = 1,
    rng: Generator | None = None,
    nowhere: tuple[float, float] = (NOWHERE, NOWHERE),
) -> MapTokens:
    """Cut polylines into pieces, and find the template of each (METHODS.md A.2, golden/smart/README.md section 6).

    Args:
        polylines: L of them.
        map_pieces: Templates, float32 ``[K, 11, 2]`` m; see `Vocabulary`.
        nearest: With `rng`, draw each token from so many nearest templates, all as likely (SMART's noise).
        rng: For that.
        nowhere: Where the only token lies, if there is no piece, x and y [m].
    """
    points, yaw, owner = cut(polylines.xy, polylines.offsets)
    if not len(owner):
        return _no_map(map_pieces, nowhere)
    token = nearest_pieces(points, yaw, map_pieces, nearest if rng is not None else 1)
    chosen = np.zeros(len(token), np.int64)
    if rng is not None and nearest > 1:
        chosen = rng.integers(token.shape[1], size=len(token))
    return MapTokens(
        points=points,
        yaw=yaw,
        token=token[np.arange(len(token)), chosen],
        type=polylines.type[owner],
        polygon=polylines.polygon[owner],
        light=polylines.light[owner],
    )


def cut(xy: Float64, offsets: Int) -> tuple[Float, Float, Int]:
    """Cut polylines into pieces of ten samples, which share their ends, and tails of three or more.

    Args:
        xy: Points, ``[P, 2]`` m.
        offsets: Polyline l owns ``xy[offsets[l]:offsets[l + 1]]``, ``[L + 1]``.

    Returns:
        First, middle and last sample of each piece (float32 ``[M, 3, 2]`` m), the direction of its first half metre
        (float32 ``[M]`` rad), and its polyline (int64 ``[M]``).
    """
    length = np.hypot(*np.diff(xy, axis=0).T).sum() if len(xy) > 1 else 0.0
    size = int(length / (10 * SPACING)) + len(xy) + 1
    points, yaw, owner = np.empty((size, 3, 2), np.float32), np.empty(size, np.float32), np.empty(size, np.int64)
    num = _cut(np.ascontiguousarray(xy), offsets, SPACING, LONGEST_GAP, points, yaw, owner)
    return points[:num].copy(), yaw[:num].copy(), owner[:num].copy()


def nearest_pieces(points: Float, yaw: Float, map_pieces: Float, num: int = 1) -> Int:
    """The `num` templates that are nearest to each piece, nearest first, int64 ``[M, num]`` or fewer.

    Nearest is the least sum of the squared distances of three samples, in the frame of the piece.
    """
    token = np.zeros((len(points), min(num, len(map_pieces))), np.int64)
    templates = np.ascontiguousarray(map_pieces[:, SKELETON].reshape(len(map_pieces), 6).T)
    _match_pieces(points, np.cos(yaw), np.sin(yaw), templates, token)
    return token


def _no_map(map_pieces: Float, nowhere: tuple[float, float]) -> MapTokens:
    samples = np.array([[0.0, 0.0], [2.5, 0.0], [5.0, 0.0]])
    points, yaw = (samples + nowhere).astype(np.float32)[None], np.zeros(1, np.float32)
    code = np.zeros(1, np.int64)
    token = nearest_pieces(samples.astype(np.float32)[None], yaw, map_pieces)[:, 0]
    return MapTokens(points=points, yaw=yaw, token=token, type=code, polygon=code, light=code)


@njit(cache=True, error_model="numpy")
def _cut(xy, offsets, spacing, longest_gap, points, yaw, owner):
    num = 0
    for line in range(len(offsets) - 1):
        begin, end = offsets[line], offsets[line + 1]
        if end - begin <= 2:
            continue
        first = begin
        for last in range(begin, end):
            gap = np.hypot(xy[last + 1, 0] - xy[last, 0], xy[last + 1, 1] - xy[last, 1]) if last + 1 < end else np.inf
            if gap > longest_gap:
                samples = _resample(xy[first : last + 1], spacing)
                added = _pieces(samples, points[num:], yaw[num:])
                for k in range(num, num + added):
                    owner[k] = line
                num += added
                first = last + 1
    return num


@njit(cache=True, error_model="numpy")
def _resample(xy, spacing):
    """Points every `spacing` along a polyline, and its end.

    Lengths between points are float32 and their sums are not, like the reference's: with other rounding, a direction
    in sixteen has another last bit, and pieces that run opposite ways are told apart by it (`geometry.wrapped`).
    """
    along = np.zeros(len(xy))
    for i in range(1, len(xy)):
        dx, dy = np.float32(xy[i, 0] - xy[i - 1, 0]), np.float32(xy[i, 1] - xy[i - 1, 1])
        along[i] = along[i - 1] + np.sqrt(dx * dx + dy * dy)
    num = int(np.ceil(along[-1] / spacing))
    out = np.empty((num + 1, 2))
    i = 0
    for k in range(num):
        while along[i + 1] <= k * spacing:
            i += 1
        share = k * spacing - along[i]
        for axis in range(2):
            slope = (xy[i + 1, axis] - xy[i, axis]) / (along[i + 1] - along[i])
            out[k, axis] = slope * share + xy[i, axis]
    out[num, 0], out[num, 1] = xy[-1, 0], xy[-1, 1]
    return out


@njit(cache=True, error_model="numpy")
def _pieces(samples, points, yaw):
    """Pieces of samples; what is left behind the last whole one, or a line shorter than one, is a tail."""
    num, first, end = 0, 0, len(samples) - 1
    while first < end:
        last = min(first + 10, end)
        left = last - first
        if left < 10 and left < (3 if first > 0 else 2):
            break
        for axis in range(2):
            points[num, 0, axis] = samples[first, axis]
            points[num, 1, axis] = samples[first + left // 2, axis]
            points[num, 2, axis] = samples[last, axis]
        yaw[num] = np.arctan2(samples[first + 1, 1] - samples[first, 1], samples[first + 1, 0] - samples[first, 0])
        num += 1
        first = last
    return num


@njit(cache=True, error_model="numpy")
def _match_pieces(points, cos, sin, templates, token):
    away = np.empty(templates.shape[1], np.float32)
    local = np.empty(6, np.float32)
    for m in range(len(points)):
        for k in range(3):
            dx, dy = points[m, k, 0] - points[m, 0, 0], points[m, k, 1] - points[m, 0, 1]
            local[2 * k], local[2 * k + 1] = dx * cos[m] + dy * sin[m], dy * cos[m] - dx * sin[m]
        for v in range(len(away)):
            away[v] = np.float32(0.0)
        for k in range(6):
            for v in range(len(away)):
                off = templates[k, v] - local[k]
                away[v] += off * off
        for k in range(token.shape[1]):
            nearest = 0
            for v in range(len(away)):
                if away[v] < away[nearest]:
                    nearest = v
            token[m, k] = nearest
            away[nearest] = np.float32(np.inf)
