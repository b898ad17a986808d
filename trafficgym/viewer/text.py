"""Letters on the canvas, through pygame's own font; rendered lines are kept."""

from __future__ import annotations

from functools import lru_cache

import pygame

from trafficgym.viewer.palette import Color


@lru_cache(maxsize=16)
def _font(points: int) -> pygame.font.Font:
    if not pygame.font.get_init():
        pygame.font.init()  # needs no display
    return pygame.font.Font(None, points)


@lru_cache(maxsize=2048)
def render(text: str, points: int, color: Color, halo: Color | None = None) -> pygame.Surface:
    """A surface with `text`; with a `halo` it is outlined by one pixel, so that it reads on any ground."""
    letters = _letters(text, points, color)
    if halo is None:
        return letters
    width, height = letters.get_size()
    surface = pygame.Surface((width + 2, height + 2), pygame.SRCALPHA, 32)
    shade = _letters(text, points, halo)
    for dx, dy in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)):
        surface.blit(shade, (dx, dy))
    surface.blit(letters, (1, 1))
    return surface


def _letters(text: str, points: int, color: Color) -> pygame.Surface:
    """Drawn at twice the size and scaled down: at small sizes the font's own rounding spaces letters unevenly."""
    large = _font(2 * points).render(text, True, color)
    return pygame.transform.smoothscale(large, ((large.get_width() + 1) // 2, (large.get_height() + 1) // 2))


def line_height(points: int) -> int:
    """Pixels from one line to the next."""
    return _font(points).get_linesize()
