"""What lies over the picture: badges, ids, the scale bar, the corner with the text, and the legend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pygame
from numpy.typing import NDArray

from trafficgym.viewer.palette import DRIVER_LABELS, EVENT_BADGES, Color, Palette
from trafficgym.viewer.raster import draw_boxes
from trafficgym.viewer.text import line_height, render

if TYPE_CHECKING:
    from trafficgym.viewer.agent_shapes import Bodies
    from trafficgym.viewer.frame import Frame

SMALL, NORMAL = 16, 18  # font sizes; pygame's units, about 0.7 px of capital height each
MARGIN, PAD = 12, 9  # px


def panel(canvas: NDArray[np.uint8], x: float, y: float, width: float, height: float, color: Color) -> None:
    """A rounded rectangle that lets the picture through, its upper left corner at (x, y) px."""
    row = [x + width / 2, y + height / 2, 1, 0, width / 2, height / 2, 6, 0, 1, *color, 0.72]
    draw_boxes(canvas, np.array([row], np.float64))


def _disc(x: float, y: float, color: Color) -> list[list[float]]:
    """Rows for `draw_boxes`: the disc of a badge."""
    return [[x, y, 1, 0, r, r, r, 0, 1, *paint, 1] for r, paint in ((8.0, (12, 13, 16)), (7.0, color))]


def _letter(surface: pygame.Surface, x: float, y: float, letter: str, color: Color) -> None:
    """The letter on a disc, dark or light, whichever stands out."""
    text = render(letter, SMALL, (255, 255, 255) if sum(color) < 420 else (20, 20, 24))
    surface.blit(text, (round(x - text.get_width() / 2), round(y - text.get_height() / 2 + 0.5)))


def draw_badges(
    surface: pygame.Surface, canvas: NDArray[np.uint8], state: NDArray[np.uint8], bodies: Bodies, palette: Palette
) -> None:
    """One lettered disc per infraction, to the upper right of the agent."""
    badges = [(int(event), letter, palette.events[event]) for event, (letter, _) in EVENT_BADGES.items()]
    placed: list[tuple[float, float, str, Color]] = []
    for k in np.flatnonzero(state & sum(bit for bit, _, _ in badges)):
        # From the corner that lies farthest towards the upper right.
        cos, sin, half_l, half_w = bodies.cos[k], bodies.sin[k], bodies.half_length[k], bodies.half_width[k]
        corners = [(cos * u - sin * v, sin * u + cos * v) for u in (half_l, -half_l) for v in (half_w, -half_w)]
        dx, dy = max(corners, key=lambda c: c[0] - c[1])
        x, y = bodies.center[k, 0] + dx + 7, bodies.center[k, 1] + dy - 7
        held = [(letter, color) for bit, letter, color in badges if int(state[k]) & bit]
        placed += [(x + 17 * n, y, letter, color) for n, (letter, color) in enumerate(held)]
    if placed:
        draw_boxes(canvas, np.array([row for x, y, _, color in placed for row in _disc(x, y, color)], np.float64))
    for badge in placed:
        _letter(surface, *badge)


def draw_ids(surface: pygame.Surface, ids: NDArray[np.int64], bodies: Bodies, palette: Palette) -> None:
    """The id of each agent, in the middle below it."""
    width, height = surface.get_size()
    half_y = np.abs(bodies.sin) * bodies.half_length + np.abs(bodies.cos) * bodies.half_width
    for number, (x, y), below in zip(ids, bodies.center, half_y, strict=True):
        if -50 < x < width + 50 and -50 < y < height + 50:
            text = render(str(number), SMALL, palette.text, palette.panel)
            surface.blit(text, (round(x - text.get_width() / 2), round(y + below + 2)))


def draw_scale_bar(surface: pygame.Surface, canvas: NDArray[np.uint8], scale: float, palette: Palette) -> None:
    """A round number of metres, in the lower right corner."""
    width, height = surface.get_size()
    metres = max((m for m in (1, 2, 5, 10, 20, 50, 100, 200, 500) if m * scale <= 0.18 * width), default=1)
    x, y, half = width - MARGIN - metres * scale / 2, height - MARGIN - 2, metres * scale / 2
    rows = [
        [x, y, 1, 0, half + 1, 2.2, 2.2, 0, 1, *palette.panel, 0.8],
        [x, y, 1, 0, half, 1.2, 1.2, 0, 1, *palette.text, 1],
    ]
    draw_boxes(canvas, np.array(rows, np.float64))
    text = render(f"{metres} m", SMALL, palette.text, palette.panel)
    surface.blit(text, (round(x - text.get_width() / 2), round(y - 6 - text.get_height())))


def draw_hud(surface: pygame.Surface, canvas: NDArray[np.uint8], frame: Frame, palette: Palette) -> None:
    """Time and the frame's own lines, in the upper left corner."""
    lines = [render(f"{frame.time_s:.1f} s", NORMAL, palette.text)]
    lines += [render(line, SMALL, palette.text_dim) for line in frame.text]
    _text_panel(surface, canvas, MARGIN, MARGIN, lines, palette)


def _text_panel(
    surface: pygame.Surface, canvas: NDArray[np.uint8], x: int, y: int, lines: list[pygame.Surface], palette: Palette
) -> None:
    step = line_height(SMALL) + 4
    panel(canvas, x, y, max(t.get_width() for t in lines) + 2 * PAD, step * len(lines) + 2 * PAD - 4, palette.panel)
    for k, text in enumerate(lines):
        surface.blit(text, (x + PAD, y + PAD + step * k))


def draw_legend(surface: pygame.Surface, canvas: NDArray[np.uint8], frame: Frame, palette: Palette) -> None:
    """Who drives, which infractions hold and what the outlines are: only what is in this frame, lower left corner."""
    entries = _legend_entries(frame, palette)
    if not entries:
        return
    texts = [render(word, SMALL, palette.text) for word, _ in entries]
    step = line_height(SMALL) + 6
    width, height = max(t.get_width() for t in texts) + 2 * PAD + 24, step * len(texts) + 2 * PAD - 6
    x, y = MARGIN, surface.get_height() - MARGIN - height
    panel(canvas, x, y, width, height, palette.panel)
    for k, (text, (_, draw)) in enumerate(zip(texts, entries, strict=True)):
        row = y + PAD + step * k
        surface.blit(text, (x + PAD + 24, row))
        draw(surface, canvas, x + PAD + 8, row + text.get_height() / 2)


Symbol = Callable[[pygame.Surface, NDArray[np.uint8], float, float], None]


def _legend_entries(frame: Frame, palette: Palette) -> list[tuple[str, Symbol]]:
    """Words and the symbol before them, for what is in the frame."""
    present, ghosts = frame.present, frame.ghosts
    drivers = [driver for driver in DRIVER_LABELS if (frame.controller[present] == driver).any()]
    labels = {**DRIVER_LABELS, **frame.driver_labels}
    entries = [(labels[driver], _car_symbol(palette.drivers[driver], palette)) for driver in drivers]
    for event, (letter, word) in EVENT_BADGES.items():
        if (frame.state[present] & event).any():
            entries.append((word, _badge_symbol(letter, palette.events[event])))
    if ghosts is not None and ghosts.valid.any():
        entries.append(("where the log was", _boxes_symbol([0, 0, 1, 0, 8, 4, 2, 1.2, 1, *palette.ghost, 0.7])))
    return entries


def _car_symbol(color: Color, palette: Palette) -> Symbol:
    return _boxes_symbol([0, 0, 1, 0, 8, 4, 2, 0, 1, *color, 1], [3, 0, 1, 0, 1.5, 3, 1, 0, 1, *palette.glass, 1])


def _badge_symbol(letter: str, color: Color) -> Symbol:
    def draw(surface: pygame.Surface, canvas: NDArray[np.uint8], x: float, y: float) -> None:
        draw_boxes(canvas, np.array(_disc(x, y, color), np.float64))
        _letter(surface, x, y, letter, color)

    return draw


def _boxes_symbol(*boxes: list[float]) -> Symbol:
    """A symbol made of boxes around (0, 0), see `raster.draw_boxes`."""

    def draw(surface: pygame.Surface, canvas: NDArray[np.uint8], x: float, y: float) -> None:
        draw_boxes(canvas, np.array(boxes, np.float64) + np.array([x, y] + [0.0] * 11))

    return draw
