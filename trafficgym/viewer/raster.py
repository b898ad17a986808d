"""Anti-aliased drawing into arrays: every shape is a signed distance, its edge one pixel of ramp.

Masks are float32 ``[h, w]`` of coverage in [0, 1]; strokes of one layer are joined by maximum, so that overlapping
pieces leave no seams, and then laid on the canvas (uint8 ``[h, w, 3]``) at once. A pixel's centre is at + 0.5.
`matrix` and `shift` take the points to pixels: ``p @ matrix + shift`` (see `Camera`).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Mask = NDArray[np.float32]
Canvas = NDArray[np.uint8]

_FAST = {"contract", "reassoc", "nsz", "arcp"}  # without the assumption that nothing is infinite: corners are


@njit(cache=True)
def stroke(mask: Mask, segments: NDArray, matrix: NDArray, shift: NDArray, min_radius: float) -> bool:
    """Raise `mask` to the coverage of thick segments ``[M, 6]``: x0, y0, x1, y1, radius 0, radius 1 (m).

    Radii below `min_radius` px are widened to it. Returns whether any pixel may have changed.
    """
    height, width = mask.shape
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    touched = False
    for k in range(len(segments)):
        s = segments[k]
        ax = s[0] * matrix[0, 0] + s[1] * matrix[1, 0] + shift[0]
        ay = s[0] * matrix[0, 1] + s[1] * matrix[1, 1] + shift[1]
        bx = s[2] * matrix[0, 0] + s[3] * matrix[1, 0] + shift[0]
        by = s[2] * matrix[0, 1] + s[3] * matrix[1, 1] + shift[1]
        ra, rb = max(s[4] * scale, min_radius), max(s[5] * scale, min_radius)
        reach = max(ra, rb) + 1.0
        x_low, x_high = max(0, int(min(ax, bx) - reach)), min(width, int(max(ax, bx) + reach) + 1)
        y_low, y_high = max(0, int(min(ay, by) - reach)), min(height, int(max(ay, by) + reach) + 1)
        if x_low >= x_high or y_low >= y_high:
            continue
        touched = True
        dx, dy = bx - ax, by - ay
        inverse = 1.0 / max(dx * dx + dy * dy, 1e-9)
        for row in range(y_low, y_high):
            py = row + 0.5 - ay
            for column in range(x_low, x_high):
                if mask[row, column] >= 1.0:
                    continue
                px = column + 0.5 - ax
                along = min(max((px * dx + py * dy) * inverse, 0.0), 1.0)
                ex, ey = px - along * dx, py - along * dy
                radius = ra + along * (rb - ra)
                if ex * ex + ey * ey < (radius + 0.5) * (radius + 0.5):
                    cover = min(0.5 + radius - math.sqrt(ex * ex + ey * ey), 1.0)
                    mask[row, column] = max(mask[row, column], cover)
    return touched


@njit(cache=True)
def fill_polygons(
    mask: Mask, points: NDArray, offsets: NDArray, stripes: NDArray, matrix: NDArray, shift: NDArray
) -> bool:
    """Raise `mask` to the coverage of polygons (even-odd), polygon k being ``points[offsets[k]:offsets[k + 1]]`` m.

    `stripes` ``[K, 4]`` are unit direction x, y, period (m, 0 for a plain fill) and the painted share of a period.
    Returns whether any pixel may have changed.
    """
    height, width = mask.shape
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    touched = False
    for k in range(len(offsets) - 1):
        n = offsets[k + 1] - offsets[k]
        if n < 3:
            continue
        p = points[offsets[k] : offsets[k + 1]]
        q = np.empty((n, 2))
        for i in range(n):
            q[i, 0] = p[i, 0] * matrix[0, 0] + p[i, 1] * matrix[1, 0] + shift[0]
            q[i, 1] = p[i, 0] * matrix[0, 1] + p[i, 1] * matrix[1, 1] + shift[1]
        x_low, x_high = max(0, int(q[:, 0].min() - 1)), min(width, int(q[:, 0].max() + 1) + 1)
        y_low, y_high = max(0, int(q[:, 1].min() - 1)), min(height, int(q[:, 1].max() + 1) + 1)
        if x_low >= x_high or y_low >= y_high:
            continue
        touched = True
        period = stripes[k, 2] * scale
        ux = (stripes[k, 0] * matrix[0, 0] + stripes[k, 1] * matrix[1, 0]) / scale
        uy = (stripes[k, 0] * matrix[0, 1] + stripes[k, 1] * matrix[1, 1]) / scale
        for row in range(y_low, y_high):
            for column in range(x_low, x_high):
                x, y = column + 0.5, row + 0.5
                cover = min(max(0.5 - _polygon_distance(q, x, y), 0.0), 1.0)
                if cover > 0.0 and period > 0.0:
                    phase = ((x - q[0, 0]) * ux + (y - q[0, 1]) * uy) / period
                    off_center = abs(phase - math.floor(phase) - 0.5)
                    if period > 3.0:  # finer stripes are a plain grey
                        cover *= min(max(0.5 + (0.5 * stripes[k, 3] - off_center) * period, 0.0), 1.0)
                    else:
                        cover *= stripes[k, 3]
                mask[row, column] = max(mask[row, column], cover)
    return touched


@njit(cache=True, inline="always")
def _polygon_distance(q: NDArray, x: float, y: float) -> float:
    """Signed distance from (x, y) to the outline of `q`, negative inside (even-odd)."""
    nearest, inside = 1e18, False
    j = len(q) - 1
    for i in range(len(q)):
        ex, ey = q[j, 0] - q[i, 0], q[j, 1] - q[i, 1]
        wx, wy = x - q[i, 0], y - q[i, 1]
        along = min(max((wx * ex + wy * ey) / max(ex * ex + ey * ey, 1e-12), 0.0), 1.0)
        dx, dy = wx - along * ex, wy - along * ey
        nearest = min(nearest, dx * dx + dy * dy)
        if (q[i, 1] > y) != (q[j, 1] > y) and wx < ex * wy / ey:
            inside = not inside
        j = i
    return -math.sqrt(nearest) if inside else math.sqrt(nearest)


@njit(cache=True)
def lay(canvas: Canvas, mask: Mask, color: tuple[int, int, int] | NDArray, alpha: float) -> None:
    """Lay `color` on the canvas where `mask` covers it, then clear the mask."""
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            cover = mask[row, column] * alpha
            if cover > 0.0:
                for c in range(3):
                    old = canvas[row, column, c]
                    canvas[row, column, c] = int(old + (color[c] - old) * cover + 0.5)
                mask[row, column] = 0.0


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def draw_boxes(canvas: Canvas, boxes: NDArray) -> None:
    """Draw rounded boxes in order, float ``[M, 13]``, all in pixels:

    x, y of the centre, cos, sin of the screen angle of the long axis, half length, half width, corner radius,
    ring (0 fills; else the width of a line along the outline), soft (width of the edge's ramp, 1 is crisp),
    red, green, blue, alpha (0..1).
    """
    height, width = canvas.shape[:2]
    for k in range(len(boxes)):
        x, y, cos, sin, length, breadth, corner, ring, soft, red, green, blue, alpha = boxes[k]
        corner = min(corner, length, breadth)
        reach = 0.5 * ring + 0.5 * soft + 1.0
        half_x = abs(cos) * length + abs(sin) * breadth + reach
        half_y = abs(sin) * length + abs(cos) * breadth + reach
        x_low, x_high = max(0, int(x - half_x)), min(width, int(x + half_x) + 1)
        y_low, y_high = max(0, int(y - half_y)), min(height, int(y + half_y) + 1)
        half_ring, half_soft, per_soft = 0.5 * ring, 0.5 * soft, 1.0 / soft
        for row in range(y_low, y_high):
            py = row + 0.5 - y
            # Of a box that lies askew most of the square around it is empty.
            first, last = _span(x_low - x, x_high - x, cos, py * sin, length + reach)
            first, last = _span(first, last, sin, -py * cos, breadth + reach)
            for column in range(max(x_low, int(first + x)), min(x_high, int(last + x) + 1)):
                px = column + 0.5 - x
                u = abs(px * cos + py * sin) - length + corner
                v = abs(py * cos - px * sin) - breadth + corner
                if u > 0.0 and v > 0.0:
                    distance = math.sqrt(u * u + v * v) - corner
                else:
                    distance = max(u, v) - corner
                if ring > 0.0:
                    distance = abs(distance) - half_ring
                if distance >= half_soft:
                    continue
                cover = min(0.5 - distance * per_soft, 1.0)
                if soft > 1.5:
                    cover = cover * cover * (3.0 - 2.0 * cover)
                cover *= alpha
                if cover >= 1.0:
                    canvas[row, column, 0] = red
                    canvas[row, column, 1] = green
                    canvas[row, column, 2] = blue
                    continue
                rest = 1.0 - cover
                canvas[row, column, 0] = int(canvas[row, column, 0] * rest + red * cover + 0.5)
                canvas[row, column, 1] = int(canvas[row, column, 1] * rest + green * cover + 0.5)
                canvas[row, column, 2] = int(canvas[row, column, 2] * rest + blue * cover + 0.5)


@njit(cache=True)
def _span(first: float, last: float, slope: float, offset: float, limit: float) -> tuple[float, float]:
    """The part of [first, last] in which ``|slope * x + offset| <= limit``; the whole where the slope is nearly 0."""
    if abs(slope) < 1e-3:
        return first, last
    a, b = (-limit - offset) / slope, (limit - offset) / slope
    return max(first, min(a, b)), min(last, max(a, b))


@njit(cache=True)
def draw_trails(
    canvas: Canvas, scratch: Mask, trails: NDArray, valid: NDArray, colors: NDArray, alpha: float, radius: float
) -> None:
    """Draw one fading line per object: `trails` ``[N, K, 2]`` px, oldest first, `valid` ``[N, K]``.

    `colors` is ``[N, 3]``; `scratch` is a mask of the canvas' size, zero before and after.
    """
    num, steps = valid.shape
    for k in range(num):
        for j in range(1, steps):
            if valid[k, j] and valid[k, j - 1]:
                _fade(scratch, trails[k, j - 1], trails[k, j], radius, (j - 1) / (steps - 1), j / (steps - 1))
        for j in range(1, steps):  # piece by piece, since the box around a whole trail is mostly empty
            if valid[k, j] and valid[k, j - 1]:
                x_low, x_high, y_low, y_high = _around(scratch, trails[k, j - 1], trails[k, j], radius)
                lay(canvas[y_low:y_high, x_low:x_high], scratch[y_low:y_high, x_low:x_high], colors[k], alpha)


@njit(cache=True)
def _around(mask: Mask, a: NDArray, b: NDArray, radius: float) -> tuple[int, int, int, int]:
    """Columns and rows, low to high, of the pixels that a thick segment may touch; the low not above the high."""
    height, width = mask.shape
    x_low, x_high = max(0, int(min(a[0], b[0]) - radius - 1)), min(width, int(max(a[0], b[0]) + radius + 1) + 1)
    y_low, y_high = max(0, int(min(a[1], b[1]) - radius - 1)), min(height, int(max(a[1], b[1]) + radius + 1) + 1)
    return x_low, max(x_low, x_high), y_low, max(y_low, y_high)


@njit(cache=True)
def _fade(mask: Mask, a: NDArray, b: NDArray, radius: float, first: float, last: float) -> None:
    """Raise `mask` to the coverage of one thick segment (px), times a weight from `first` at a to `last` at b."""
    x_low, x_high, y_low, y_high = _around(mask, a, b, radius)
    dx, dy = b[0] - a[0], b[1] - a[1]
    inverse = 1.0 / max(dx * dx + dy * dy, 1e-9)
    for row in range(y_low, y_high):
        for column in range(x_low, x_high):
            px, py = column + 0.5 - a[0], row + 0.5 - a[1]
            along = min(max((px * dx + py * dy) * inverse, 0.0), 1.0)
            ex, ey = px - along * dx, py - along * dy
            square = ex * ex + ey * ey
            if square < (radius + 0.5) * (radius + 0.5):
                cover = min(0.5 + radius - math.sqrt(square), 1.0) * (first + along * (last - first))
                mask[row, column] = max(mask[row, column], cover)
