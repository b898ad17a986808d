"""Where the viewer looks from: scene metres to screen pixels and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from trafficgym.scene.scene import Scene

MIN_SCALE, MAX_SCALE = 0.2, 80.0  # px/m


@dataclass(frozen=True)
class Camera:
    """A view from above, y up on the screen.

    Screen coordinates are continuous pixels, x right and y down, (0, 0) the upper left corner; pixel ``(i, j)``
    covers ``[i, i + 1) x [j, j + 1)``. The view is shifted by less than half a pixel so that the road lies on
    whole pixels of its cached picture; `to_screen` includes that shift.
    """

    center: tuple[float, float] = (0.0, 0.0)  # m, scene frame, in the middle of the screen
    scale: float = 8.0  # px/m
    rotation: float = 0.0  # rad, heading that points right on the screen; yaw - pi/2 shows a car driving upwards

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Scene metres to pixels without the shift, float64 ``[2, 2]``; symmetric, its square is ``scale ** 2``."""
        cos, sin = math.cos(self.rotation), math.sin(self.rotation)
        return self.scale * np.array([[cos, sin], [sin, -cos]])

    def shift(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """Pixels to add after `matrix`, whole numbers, float64 ``[2]``, for a screen of (width, height)."""
        return np.round(np.array(size) / 2 - self.matrix @ np.array(self.center, np.float64))

    def to_screen(self, xy: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
        """Scene points ``[..., 2]`` m to screen pixels ``[..., 2]``."""
        return np.asarray(xy, np.float64) @ self.matrix + self.shift(size)

    def to_scene(self, pixels: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
        """Screen pixels ``[..., 2]`` to scene points ``[..., 2]`` m."""
        return (np.asarray(pixels, np.float64) - self.shift(size)) @ self.matrix / self.scale**2

    def at(self, x: float, y: float) -> Camera:
        """The same view with (x, y) m in the middle."""
        return replace(self, center=(float(x), float(y)))

    def pan(self, dx: float, dy: float) -> Camera:
        """Drag the picture by (dx, dy) pixels."""
        move = self.matrix @ np.array([dx, dy]) / self.scale**2
        return self.at(self.center[0] - move[0], self.center[1] - move[1])

    def zoom(self, factor: float, pixel: tuple[float, float], size: tuple[int, int]) -> Camera:
        """Magnify by `factor` so that what lies under `pixel` stays there (to the pixel)."""
        scale = min(max(self.scale * factor, MIN_SCALE), MAX_SCALE)
        zoomed = replace(self, scale=scale)
        away = (np.array(pixel) - np.array(size) / 2) @ zoomed.matrix / scale**2
        fixed = np.array(self.center) + (np.array(pixel) - np.array(size) / 2) @ self.matrix / self.scale**2
        return zoomed.at(*(fixed - away))


def fit(scene: Scene, size: tuple[int, int] = (800, 800), *, margin: float = 15.0) -> Camera:
    """A view that holds every valid position of every track, and `margin` m around them."""
    tracks = scene.tracks
    low = np.array([tracks.x[tracks.valid].min(), tracks.y[tracks.valid].min()]) - margin
    high = np.array([tracks.x[tracks.valid].max(), tracks.y[tracks.valid].max()]) + margin
    scale = float(np.min(np.array(size) / np.maximum(high - low, 40.0)))
    center = (low + high) / 2
    return Camera((float(center[0]), float(center[1])), min(max(scale, MIN_SCALE), 20.0))
