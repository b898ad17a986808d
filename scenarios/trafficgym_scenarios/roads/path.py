"""A line to drive along, measured by arc length."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from trafficgym.errors import ConfigError

Array = NDArray[np.float64]


class Path:
    """A polyline whose points are given as (s, d): metres along it, and metres to the left of it.

    Direction and curvature are interpolated between the points, so that the line looks smooth where its points are
    close together. Beyond its ends it goes straight on.

    Args:
        points: ``[n, 2]`` m, n >= 2; consecutive ones differ.

    Raises:
        ConfigError: fewer than two points, or two in the same place.
    """

    def __init__(self, points: ArrayLike) -> None:
        self.points: Array = np.asarray(points, np.float64)
        """``[n, 2]`` m."""
        steps = np.diff(self.points, axis=0)
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        if len(lengths) == 0 or not lengths.min() > 1e-6:
            raise ConfigError("a path needs two or more points, each in another place than the one before")
        self.at: Array = np.concatenate([[0.0], np.cumsum(lengths)])
        """Arc length at each point, ``[n]`` m."""

    @property
    def length(self) -> float:
        """m."""
        return float(self.at[-1])

    def xy(self, s: ArrayLike, d: ArrayLike = 0.0) -> Array:
        """Points at (s, d), shape of `s` and `d` broadcast together, plus a last axis of 2, m."""
        s, d = np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(d, np.float64))
        yaw = self.yaw(s)
        cos, sin = np.cos(yaw), np.sin(yaw)
        over = s - np.minimum(np.maximum(s, 0.0), self.length)
        x, y = (np.interp(s, self.at, self.points[:, c]) for c in (0, 1))
        return np.stack([x + over * cos - d * sin, y + over * sin + d * cos], axis=-1)

    def yaw(self, s: ArrayLike) -> Array:
        """Direction at `s`, rad, not wrapped."""
        return _interpolate(s, self.at, self._yaw)

    def curvature(self, s: ArrayLike) -> Array:
        """Curvature at `s`, 1/m, positive to the left."""
        return _interpolate(s, self.at, self._curvature)

    def project(self, xy: ArrayLike) -> tuple[Array, Array]:
        """The (s, d) of the place on the line that is nearest to each of `xy` ``[..., 2]`` m."""
        xy = np.asarray(xy, np.float64)
        s = np.asarray(shapely.line_locate_point(self.line, shapely.points(xy)))
        away = xy - self.xy(s)
        yaw = self.yaw(s)
        cos, sin = np.cos(yaw), np.sin(yaw)
        before_or_after = np.where((s <= 0) | (s >= self.length), away[..., 0] * cos + away[..., 1] * sin, 0.0)
        return s + before_or_after, away[..., 1] * cos - away[..., 0] * sin

    @cached_property
    def line(self) -> shapely.LineString:
        """The same as a shapely line."""
        return shapely.LineString(self.points)

    @cached_property
    def _yaw(self) -> Array:
        steps = np.diff(self.points, axis=0)
        return _vertex_yaw(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])), np.diff(self.at))

    @cached_property
    def _curvature(self) -> Array:
        return np.asarray(np.gradient(self._yaw, self.at))


def _interpolate(s: ArrayLike, at: Array, values: Array) -> Array:
    return np.asarray(np.interp(np.asarray(s, np.float64), at, values))


def _vertex_yaw(yaw: Array, lengths: Array) -> Array:
    """Direction at the points from that of the pieces between them, exact on circles of evenly spaced points."""
    if len(yaw) == 1:
        return np.repeat(yaw, 2)
    half_turn = np.diff(yaw) / (lengths[:-1] + lengths[1:])  # rad/m, half the curvature
    inner = yaw[:-1] + half_turn * lengths[:-1]
    return np.concatenate([[yaw[0] - half_turn[0] * lengths[0]], inner, [yaw[-1] + half_turn[-1] * lengths[-1]]])
