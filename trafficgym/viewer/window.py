"""A window that shows pictures: what `render_mode="human"` and the player open."""

from __future__ import annotations

import os

import numpy as np
import pygame
from numpy.typing import NDArray

from trafficgym.errors import TrafficgymError
from trafficgym.viewer.surface import surface_of


class DisplayError(TrafficgymError, RuntimeError):
    """There is no display to open a window on."""


def open_display(size: tuple[int, int], title: str) -> pygame.Surface:
    """Open the window.

    Raises:
        DisplayError: there is none to open; the message names the remedy.
    """
    remedy = (
        "no display to open a window on; write a film with `trafficgym record SOURCE film.gif`, use "
        'render_mode="rgb_array", or start an X server (xvfb-run) and set DISPLAY'
    )
    try:
        pygame.display.init()
        # Without any display SDL falls back to drawing nowhere, and an endless loop would play to nobody.
        nowhere = pygame.display.get_driver() == "offscreen" and os.environ.get("SDL_VIDEODRIVER") != "offscreen"
        if nowhere:
            pygame.display.quit()
            raise DisplayError(remedy)
        surface = pygame.display.set_mode(size, pygame.RESIZABLE)
    except pygame.error as error:
        raise DisplayError(f"{remedy} (SDL says: {error})") from None
    pygame.display.set_caption(title)
    return surface


class Window:
    """Shows one picture after the other, at most `fps` a second; it opens at the first.

    Closing it by its button or with Escape ends the showing, not the program: `is_open` turns False and `show` does
    nothing from then on.
    """

    def __init__(self, title: str = "trafficgym", fps: float = 10.0) -> None:
        self.title, self.fps = title, fps
        self.is_open = True
        self._surface: pygame.Surface | None = None
        self._clock = pygame.time.Clock()

    def show(self, picture: NDArray[np.uint8] | pygame.Surface) -> None:
        """Show a picture, uint8 ``[H, W, 3]`` or a Surface, and wait for its turn.

        Raises:
            DisplayError: there is no display.
        """
        if not self.is_open:
            return
        if isinstance(picture, np.ndarray):
            picture = surface_of(picture)
        if self._surface is None:
            self._surface = open_display(picture.get_size(), self.title)
        for event in pygame.event.get():
            escape = event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE
            if event.type == pygame.QUIT or escape:
                self.close()
                return
        self._surface.fill((0, 0, 0))
        self._surface.blit(picture, (0, 0))
        pygame.display.flip()
        self._clock.tick(self.fps)

    def close(self) -> None:
        """Close the window; may be called more than once."""
        self.is_open = False
        if self._surface is not None:
            self._surface = None
            pygame.display.quit()
