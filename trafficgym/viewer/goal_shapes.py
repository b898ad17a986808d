"""Rows for `raster.draw_boxes` that make up goals: a dashed line from each agent to its goal, and a target there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trafficgym.viewer.agent_shapes import Bodies

if TYPE_CHECKING:
    from trafficgym.viewer.camera import Camera
    from trafficgym.viewer.frame import Frame, Goals
    from trafficgym.viewer.palette import Palette

DASH = 14.0  # px from one dash to the next
TARGET = 9.0  # px, radius


def goal_boxes(
    frame: Frame, goals: Goals, palette: Palette, camera: Camera, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Lines and targets of agents that are there, and a ring around the selected one, float64 ``[M, 13]``."""
    color, rows = palette.goal, np.zeros((0, 13))
    for slot in np.flatnonzero(goals.valid & frame.present):
        ends = np.array([[frame.x[slot], frame.y[slot]], goals.xy[slot]], np.float64)
        start, end = camera.to_screen(ends, size)
        rows = np.concatenate([rows, _dashes(start, end, color), _target(end, palette)])
    selected = frame.selected
    if selected is not None and frame.present[selected]:
        x, y, yaw, length, width = (a[[selected]] for a in (frame.x, frame.y, frame.yaw, frame.length, frame.width))
        body = Bodies(x, y, yaw, length, width, camera, size)
        half, corner = (body.half_length, body.half_width), 0.45 * body.half_width
        glow = body.boxes(half[0] + 5, half[1] + 5, color, corner=corner + 5, soft=12.0, alpha=0.5)
        ring = body.boxes(half[0] + 4, half[1] + 4, color, corner=corner + 4, ring=2.4)
        rows = np.concatenate([rows, glow, ring])
    return rows


def _dashes(start: NDArray[np.float64], end: NDArray[np.float64], color: tuple[int, int, int]) -> NDArray[np.float64]:
    """From an agent to the rim of its target."""
    way = end - start
    length = float(np.hypot(*way))
    at = np.arange(0.5 * DASH, length - TARGET - 0.3 * DASH, DASH)
    rows = np.empty((len(at), 13))
    if not len(at):
        return rows
    rows[:, :2] = start + way * (at / length)[:, None]
    rows[:, 2:4] = way / length
    rows[:, 4:9] = 0.3 * DASH, 1.1, 1.1, 0, 1
    rows[:, 9:12], rows[:, 12] = color, 0.9
    return rows


def _target(at: NDArray[np.float64], palette: Palette) -> NDArray[np.float64]:
    """A ring and a dot, rimmed so that they stand out from any ground."""
    x, y = at
    shapes = ((TARGET, 5.0, palette.panel, 0.7), (TARGET, 2.4, palette.goal, 1.0), (3.0, 0.0, palette.goal, 1.0))
    return np.array([[x, y, 1, 0, r, r, r, ring, 1, *color, alpha] for r, ring, color, alpha in shapes], np.float64)
