"""Rows for `raster.draw_boxes` that make up agents, their marks, ghosts and signals. All true to size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trafficgym.scene.scene import AgentType, SignalState
from trafficgym.viewer.palette import AMBER_STATES, EVENT_BADGES, GREEN_STATES, RED_STATES, Color, Palette
from trafficgym.world.state import Driver

if TYPE_CHECKING:
    from trafficgym.viewer.camera import Camera
    from trafficgym.viewer.frame import Frame, Ghosts

Boxes = NDArray[np.float64]  # (M, 13), see draw_boxes
ARROWS = frozenset({SignalState.ARROW_STOP, SignalState.ARROW_CAUTION, SignalState.ARROW_GO})
MIN_HALF = 2.0  # px, so that nothing vanishes when zoomed out


class Bodies:
    """Centres, headings and half sizes of ``N`` objects on the screen, and boxes that are fixed to them."""

    def __init__(
        self,
        x: NDArray,
        y: NDArray,
        yaw: NDArray,
        length: NDArray,
        width: NDArray,
        camera: Camera,
        size: tuple[int, int],
    ) -> None:
        self.scale = camera.scale
        self.center = camera.to_screen(np.stack([x, y], axis=-1), size)
        angle = camera.rotation - np.asarray(yaw, np.float64)  # the screen's y points down
        self.cos, self.sin = np.cos(angle), np.sin(angle)
        self.half_length = np.maximum(0.5 * camera.scale * np.asarray(length, np.float64), MIN_HALF)
        self.half_width = np.maximum(0.5 * camera.scale * np.asarray(width, np.float64), MIN_HALF)

    def boxes(
        self,
        half_length: NDArray | float,
        half_width: NDArray | float,
        color: NDArray | Color,
        *,
        ahead: NDArray | float = 0.0,
        left: NDArray | float = 0.0,
        corner: NDArray | float = 0.0,
        ring: float = 0.0,
        soft: float = 1.0,
        alpha: NDArray | float = 1.0,
    ) -> Boxes:
        """One box per body, ``[N, 13]``, its centre moved `ahead` and `left` (px) in the body's frame."""
        rows = np.empty((len(self.cos), 13))
        rows[:, 0] = self.center[:, 0] + self.cos * ahead + self.sin * left
        rows[:, 1] = self.center[:, 1] + self.sin * ahead - self.cos * left
        rows[:, 2], rows[:, 3] = self.cos, self.sin
        rows[:, 4], rows[:, 5], rows[:, 6] = half_length, half_width, corner
        rows[:, 7], rows[:, 8] = ring, soft
        rows[:, 9:12] = color
        rows[:, 12] = alpha
        return rows


def driver_colors(frame: Frame, palette: Palette) -> NDArray[np.float64]:
    """Colour of each object by who drives it, ``[N, 3]``."""
    table = np.array([palette.drivers[Driver(d)] for d in range(-1, len(Driver) - 1)], np.float64)
    return table[frame.controller.astype(int) + 1]


def agent_boxes(frame: Frame, shown: NDArray, bodies: Bodies, palette: Palette) -> Boxes:
    """Everything that makes up the agents `shown` (indices ``[n]``, which `bodies` holds), in drawing order."""
    b, scale = bodies, bodies.scale
    kind = frame.type[shown]
    color = driver_colors(frame, palette)[shown]
    round_kind = (kind == AgentType.PEDESTRIAN) | (kind == AgentType.CYCLIST)
    corner = np.where(round_kind, np.inf, np.minimum(0.45 * b.half_width, 0.55 * scale))
    shadow = b.boxes(
        b.half_length + 0.1 * scale, b.half_width + 0.1 * scale, palette.shadow, corner=corner + 2.0,
        soft=max(2.0, 0.7 * scale), alpha=0.55,
    )  # fmt: skip
    rim = b.boxes(b.half_length + 0.5, b.half_width + 0.5, palette.agent_outline, corner=corner + 0.5, alpha=0.9)
    body = b.boxes(b.half_length - 0.5, b.half_width - 0.5, color, corner=corner)
    layers = [shadow, rim, body]
    layers += _vehicle_details(b, palette, color, kind)
    layers += _person_details(b, palette, color, kind)
    # One agent after the other, so that where two overlap one lies on the other as a whole.
    rows = np.stack(layers, axis=1).reshape(-1, 13)
    return np.concatenate([marks_below(frame, shown, b, palette), rows[rows[:, 12] > 0]])


def _vehicle_details(b: Bodies, palette: Palette, color: NDArray, kind: NDArray) -> list[Boxes]:
    """Windscreen, rear window and lamps of cars; a cab and its gap for what is longer than 8 m."""
    scale, car = b.scale, (kind != AgentType.PEDESTRIAN) & (kind != AgentType.CYCLIST)
    if scale < 2.0:
        return [
            b.boxes(0.3 * b.half_length, 0.7 * b.half_width, palette.glass, ahead=0.5 * b.half_length, alpha=0.7 * car)
        ]
    truck = b.half_length > 4.0 * scale
    round_off = 0.15 * scale
    front = np.where(truck, b.half_length - 0.8 * scale, 0.36 * b.half_length)
    screen = b.boxes(
        np.where(truck, 0.3 * scale, 0.17 * b.half_length),
        0.8 * b.half_width,
        palette.glass,
        ahead=front,
        corner=round_off,
        alpha=0.92 * car,
    )
    rear = b.boxes(
        0.09 * b.half_length,
        0.72 * b.half_width,
        palette.glass,
        ahead=-0.68 * b.half_length,
        corner=round_off,
        alpha=0.75 * (car & ~truck),
    )
    gap = b.boxes(
        0.12 * scale,
        b.half_width - 0.5,
        palette.agent_outline,
        ahead=b.half_length - 2.4 * scale,
        alpha=0.8 * (car & truck),
    )
    roof = b.boxes(
        0.34 * b.half_length, 0.72 * b.half_width, 0.82 * color + 0.18 * 255, ahead=-0.2 * b.half_length,
        corner=0.3 * scale, alpha=0.5 * (car & ~truck),
    )  # fmt: skip
    lamps = [
        b.boxes(
            0.09 * scale, 0.16 * b.half_width, (255, 250, 225), ahead=b.half_length - 0.22 * scale,
            left=side * 0.68 * b.half_width, corner=0.05 * scale, alpha=0.95 * car * (scale >= 5.0),
        )
        for side in (-1, 1)
    ]  # fmt: skip
    return [roof, screen, rear, gap, *lamps]


def _person_details(b: Bodies, palette: Palette, color: NDArray, kind: NDArray) -> list[Boxes]:
    """A head, in front of the middle where one walks and on it where one rides, and a handlebar."""
    walker, rider = kind == AgentType.PEDESTRIAN, kind == AgentType.CYCLIST
    head = 0.5 * np.minimum(b.half_length, b.half_width)
    bar = b.boxes(
        np.maximum(0.06 * b.scale, 0.5),
        0.9 * b.half_width,
        palette.agent_outline,
        ahead=0.5 * b.half_length,
        alpha=rider * 1.0,
    )
    top = b.boxes(
        head,
        head,
        palette.glass,
        ahead=np.where(walker, 0.42 * b.half_length, 0.0),
        corner=head,
        alpha=0.9 * (walker | rider),
    )
    return [bar, top]


def marks_below(frame: Frame, shown: NDArray, b: Bodies, palette: Palette) -> Boxes:
    """Glow and ring around whatever breaks a rule, in the colour of the gravest, and the ring of the focus."""
    state = frame.state[shown]
    ring_color, marked = np.zeros((len(shown), 3)), np.zeros(len(shown), bool)
    for event in reversed(list(EVENT_BADGES)):
        holds = (state & event) != 0
        ring_color[holds] = palette.events[event]
        marked |= holds
    corner = 0.45 * b.half_width
    glow = b.boxes(b.half_length + 5, b.half_width + 5, ring_color, corner=corner + 5, soft=12.0, alpha=0.55 * marked)
    ring = b.boxes(
        b.half_length + 3.0, b.half_width + 3.0, ring_color, corner=corner + 3.0, ring=2.2, alpha=1.0 * marked
    )
    focus = b.boxes(
        b.half_length + 3.0, b.half_width + 3.0, palette.focus, corner=corner + 3.0, ring=1.4,
        alpha=0.9 * ((shown == frame.focus) & ~marked if frame.focus is not None else np.zeros(len(shown))),
    )  # fmt: skip
    rows = np.concatenate([glow, ring, focus])
    return rows[rows[:, 12] > 0]


def ghost_boxes(frame: Frame, ghosts: Ghosts, palette: Palette, camera: Camera, size: tuple[int, int]) -> Boxes:
    """Outlines where the log had the agents, with a tick towards the front."""
    shown = np.flatnonzero(ghosts.valid)
    b = Bodies(
        ghosts.x[shown], ghosts.y[shown], ghosts.yaw[shown], frame.length[shown], frame.width[shown], camera, size
    )
    outline = b.boxes(b.half_length, b.half_width, palette.ghost, corner=0.45 * b.half_width, ring=1.2, alpha=0.6)
    tick = b.boxes(0.25 * b.half_length, 0.5, palette.ghost, ahead=0.75 * b.half_length, alpha=0.6)
    return np.concatenate([outline, tick])


def lamp_boxes(state: NDArray, at: NDArray, heading: NDArray, palette: Palette, scale: float) -> Boxes:
    """Signals at screen points `at` ``[S, 2]``: a lamp, and behind it a bar across the lane while traffic must stop.

    Args:
        heading: Screen angle of each lane at its stop point, rad; NaN where unknown, which has no bar.
    """
    unit = max(scale, 5.0)
    rows: list[list[float]] = []
    for s, (x, y), angle in zip(state, at, heading, strict=True):
        color = palette.signal(int(s))
        bar = 1.5 if s in RED_STATES else 0.9 if s in AMBER_STATES else 0.0
        if bar and np.isfinite(angle):
            rows.append([x, y, np.cos(angle), np.sin(angle), 0.2 * unit, bar * unit, 0.1 * unit, 0, 1, *color, 0.85])
        is_lit = bar > 0 or s in GREEN_STATES
        rows.append([x, y, 1, 0, 1.3 * unit, 1.3 * unit, np.inf, 0, 1.6 * unit, *color, 0.45 * is_lit])
        turn, corner, shrink = (np.pi / 4, 0.0, 0.9) if s in ARROWS else (0.0, np.inf, 1.0)
        for radius, paint in ((0.62 * unit, palette.signal_housing), (0.42 * unit, color)):
            half = radius * shrink * (1.0 if is_lit else 0.7)
            rows.append([x, y, np.cos(turn), np.sin(turn), half, half, corner, 0, 1, *paint, 1])
    return np.array(rows, np.float64).reshape(-1, 13)
