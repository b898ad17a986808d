"""Draws a moment of a scene into an array. Pure and headless: no window, no video driver, no state but caches."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.viewer.agent_shapes import Bodies, agent_boxes, driver_colors, ghost_boxes, lamp_boxes
from trafficgym.viewer.goal_shapes import goal_boxes
from trafficgym.viewer.overlay import draw_badges, draw_hud, draw_ids, draw_legend, draw_scale_bar
from trafficgym.viewer.palette import DARK, Palette
from trafficgym.viewer.raster import draw_boxes, draw_trails
from trafficgym.viewer.road_picture import RoadPicture
from trafficgym.viewer.surface import surface_of

if TYPE_CHECKING:
    import pygame

    from trafficgym.scene.scene import Scene
    from trafficgym.viewer.camera import Camera
    from trafficgym.viewer.frame import Frame

SCENES_KEPT = 4


@dataclass(frozen=True, kw_only=True)
class Style:
    """What is shown besides road, signals and agents, and in which colours."""

    palette: Palette = DARK
    ids: bool = False
    trails: bool = True
    ghosts: bool = True
    legend: bool = True
    hud: bool = True


class Painter:
    """Draws frames of a fixed size.

    The same scene, frame, camera and style give the same bytes. The road is cached for the last few scenes and for
    one zoom each, so a camera that follows somebody costs little more than one that stands.

    Attributes:
        style: May be replaced between frames.
        surface: pygame Surface over the pixels of the last frame, to blit onto a window.
    """

    def __init__(self, size: tuple[int, int] = (800, 800), style: Style | None = None) -> None:
        """Make a painter of pictures of `size` (width, height) px.

        Raises:
            ConfigError: a side is smaller than 16 px.
        """
        if min(size) < 16:
            raise ConfigError(f"a picture of {size[0]} x {size[1]} px is too small; both sides must be at least 16 px")
        self.size = (int(size[0]), int(size[1]))
        self.style = style or Style()
        self._canvas = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        self._scratch = np.zeros((self.size[1], self.size[0]), np.float32)
        self._roads: OrderedDict[tuple[int, int], tuple[Scene, Palette, RoadPicture]] = OrderedDict()
        self.surface = surface_of(self._canvas)

    def paint(self, scene: Scene, frame: Frame, camera: Camera) -> NDArray[np.uint8]:
        """Return the picture as an array of its own, uint8 ``[H, W, 3]``."""
        self.draw(scene, frame, camera)
        return self._canvas.copy()

    def draw(self, scene: Scene, frame: Frame, camera: Camera) -> pygame.Surface:
        """Draw onto `surface` and return it; the next call draws over it."""
        canvas, palette = self._canvas, self.style.palette
        road = self._road(scene)
        road.copy_to(canvas, camera)
        shown = np.flatnonzero(frame.present)
        bodies = Bodies(
            frame.x[shown], frame.y[shown], frame.yaw[shown], frame.length[shown], frame.width[shown], camera, self.size
        )
        if self.style.trails and frame.trails is not None:
            self._draw_trails(frame, shown, camera)
        if frame.lamps is not None:
            lit = np.flatnonzero(frame.lamps.valid)
            at = camera.to_screen(frame.lamps.stop[lit, :2], self.size)
            heading = camera.rotation - road.lane_headings(frame.lamps.lane[lit], frame.lamps.stop[lit])
            draw_boxes(canvas, lamp_boxes(frame.lamps.state[lit], at, heading, palette, camera.scale))
        if self.style.ghosts and frame.ghosts is not None:
            draw_boxes(canvas, ghost_boxes(frame, frame.ghosts, palette, camera, self.size))
        if frame.goals is not None:
            draw_boxes(canvas, goal_boxes(frame, frame.goals, palette, camera, self.size))
        draw_boxes(canvas, agent_boxes(frame, shown, bodies, palette))
        draw_badges(self.surface, canvas, frame.state[shown], bodies, palette)
        if self.style.ids:
            draw_ids(self.surface, frame.id[shown], bodies, palette)
        draw_scale_bar(self.surface, canvas, camera.scale, palette)
        if self.style.hud:
            draw_hud(self.surface, canvas, frame, palette)
        if self.style.legend:
            draw_legend(self.surface, canvas, frame, palette)
        return self.surface

    def _draw_trails(self, frame: Frame, shown: NDArray, camera: Camera) -> None:
        assert frame.trails is not None
        trails = camera.to_screen(frame.trails.xy[shown], self.size)
        colors = driver_colors(frame, self.style.palette)[shown]
        radius = max(0.8, 0.14 * camera.scale)
        draw_trails(self._canvas, self._scratch, trails, frame.trails.valid[shown], colors, 0.7, radius)

    def _road(self, scene: Scene) -> RoadPicture:
        palette = self.style.palette
        key = (id(scene), id(palette))  # both are kept alive beside the picture, so the numbers stay theirs
        if key not in self._roads:
            self._roads[key] = (scene, palette, RoadPicture(scene, palette))
            if len(self._roads) > SCENES_KEPT:
                self._roads.popitem(last=False)
        self._roads.move_to_end(key)
        return self._roads[key][2]
