"""The road as a picture, drawn tile by tile when first looked at and kept for as long as the zoom stays."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trafficgym.viewer.palette import Palette
from trafficgym.viewer.raster import fill_polygons, lay, stroke
from trafficgym.viewer.road_shapes import Polygons, road_layers

if TYPE_CHECKING:
    from trafficgym.scene.scene import Scene
    from trafficgym.viewer.camera import Camera

TILE = 256  # px


class RoadPicture:
    """The static layers of one scene; a moving camera pays only for the tiles that come into view."""

    def __init__(self, scene: Scene, palette: Palette) -> None:
        self._palette = palette
        self._layers = road_layers(scene.road)
        self._tiles: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._view: tuple[float, float] | None = None
        self._mask = np.zeros((TILE, TILE), np.float32)
        self._road = scene.road
        self._headings: dict[tuple[int, float, float], float] = {}

    def copy_to(self, canvas: NDArray[np.uint8], camera: Camera) -> None:
        """Fill `canvas` uint8 ``[H, W, 3]`` with the road as `camera` sees it."""
        if self._view != (camera.scale, camera.rotation):
            self._tiles.clear()
            self._view = (camera.scale, camera.rotation)
        height, width = canvas.shape[:2]
        left, top = (-camera.shift((width, height))).astype(int)
        columns = range(left // TILE, (left + width - 1) // TILE + 1)
        rows = range(top // TILE, (top + height - 1) // TILE + 1)
        for row in rows:
            for column in columns:
                x, y = column * TILE - left, row * TILE - top
                part = canvas[max(y, 0) : y + TILE, max(x, 0) : x + TILE]
                tile = self._tile(column, row, camera)[max(-y, 0) :, max(-x, 0) :]
                part[:] = tile[: part.shape[0], : part.shape[1]]
        while len(self._tiles) > 4 * len(rows) * len(columns):
            self._tiles.popitem(last=False)

    def _tile(self, column: int, row: int, camera: Camera) -> NDArray[np.uint8]:
        tile = self._tiles.get((column, row))
        if tile is None:
            tile = self._tiles[column, row] = self._draw(column, row, camera)
        else:
            self._tiles.move_to_end((column, row))
        return tile

    def _draw(self, column: int, row: int, camera: Camera) -> NDArray[np.uint8]:
        tile = np.empty((TILE, TILE, 3), np.uint8)
        tile[:] = self._palette.ground
        matrix, shift = camera.matrix, np.array([-column * TILE, -row * TILE], np.float64)
        for layer in self._layers:
            if camera.scale < layer.min_scale:
                continue
            if isinstance(layer, Polygons):
                hit = fill_polygons(self._mask, layer.points, layer.offsets, layer.stripes, matrix, shift)
            else:
                hit = stroke(self._mask, layer.segments, matrix, shift, layer.min_radius)
            if hit:
                lay(tile, self._mask, getattr(self._palette, layer.color), layer.alpha)
        return tile

    def lane_headings(self, lanes: NDArray[np.int32], at: NDArray[np.float32]) -> NDArray[np.float64]:
        """Direction of each lane (feature, -1 for unknown) where it is nearest to `at` ``[S, 3]`` m: rad, or NaN."""
        keys = [(int(lane), float(x), float(y)) for lane, (x, y, _) in zip(lanes, at, strict=True)]
        for key in keys:
            if key not in self._headings:
                self._headings[key] = self._lane_heading(*key)
        return np.array([self._headings[key] for key in keys], np.float64)

    def _lane_heading(self, lane: int, x: float, y: float) -> float:
        points = self._road.points(lane)[:, :2] if lane >= 0 else np.zeros((0, 2))
        if len(points) < 2:
            return np.nan
        nearest = min(int(np.argmin(np.hypot(points[:, 0] - x, points[:, 1] - y))), len(points) - 2)
        dx, dy = points[nearest + 1] - points[nearest]
        return float(np.arctan2(dy, dx))
