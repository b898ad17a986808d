"""`render()` for every facade, through the viewer's painter; pygame is imported when the first picture is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ActionError, ConfigError

if TYPE_CHECKING:
    from trafficgym.world.world import World

MODES = (None, "human", "rgb_array")


class Renderer:
    """Draws world 0, around the ego where there is one.

    Args:
        mode: None, ``"rgb_array"`` (no display needed) or ``"human"``.
        size: Width and height [pixels].

    Raises:
        ConfigError: another mode.
    """

    def __init__(self, mode: str | None, size: tuple[int, int]) -> None:
        if mode not in MODES:
            raise ConfigError(f"render_mode is {mode!r}; it is one of {', '.join(map(repr, MODES))}")
        self.mode, self.size = mode, size
        self._painter: Any = None
        self._window: Any = None

    def render(self, world: World | None) -> NDArray[np.uint8] | None:
        """A picture, uint8 ``[H, W, 3]``; None in mode ``"human"``, which shows it, and where no mode was given."""
        if self.mode is None:
            return None
        if world is None:
            raise ActionError("render was called before reset; call reset(seed=...) first")
        from trafficgym.viewer import Camera, Painter, frame_of_world
        from trafficgym.viewer.window import Window

        if self._painter is None:
            self._painter = Painter(self.size)
        frame = frame_of_world(world)
        ego = 0 if frame.focus is None else frame.focus
        scale = min(self.size) / 120.0
        camera = Camera(center=(float(frame.x[ego]), float(frame.y[ego])), scale=scale)
        picture: NDArray[np.uint8] = self._painter.paint(world.scenes[0], frame, camera)
        if self.mode == "rgb_array":
            return picture
        if self._window is None:
            self._window = Window()
        self._window.show(picture)
        return None

    def close(self) -> None:
        """Close the window."""
        if self._window is not None:
            self._window.close()
            self._window = None
