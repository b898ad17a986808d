"""Reward for getting on along the logged path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.rewards.reward import Float, Term
from trafficgym.scene.scene import Scene
from trafficgym.world.path import thin
from trafficgym.world.pointers import floats, ints
from trafficgym.world.road_index import (
    furthest_straight,
)

if TYPE_CHECKING:
    from trafficgym.world.events import Events
    from trafficgym.world.world import World


THIN_M = 0.1
"""Paths are thinned where they stay within this distance of themselves."""


@dataclass(frozen=True, kw_only=True)
class Progress(Term):
    """Metres gained during the decision along the agent's logged path, at most to its end; negative on the way back.

    Both positions are projected on the nearest part of the path; an agent whose log stays in place gains nothing.
    """

    @property
    def name(self) -> str:
        return "progress"

    def value(self, world: World, events: Events) -> Float:
        rows = np.array([_rows(scene).row for scene in world.scenes])
        old, new = world.previous, world.state
        gained = np.zeros((len(world.scenes), world.num_agents), np.float32)
        _gain(rows, world.track, old.x, old.y, new.x, new.y, gained)
        return gained


def _rows(scene: Scene) -> _Paths:
    paths = _PATHS.get(scene)
    if paths is None:
        paths = _PATHS[scene] = _Paths(scene)
    return paths


class _Paths:
    """The paths of all tracks of a scene, cleaned of jitter.

    Attributes:
        row: Addresses and sizes for kernels, int64 ``[4]``; good as long as this object lives.
    """

    def __init__(self, scene: Scene) -> None:
        tracks = scene.tracks
        logged = [(a, v) for a, v in enumerate(tracks.valid) if v.any()]
        parts = [_measured(thin(tracks.x[a, v], tracks.y[a, v], 0.0, False)) for a, v in logged]
        sizes = np.zeros(tracks.num_agents + 1, np.int32)
        sizes[1:][tracks.valid.any(1)] = [len(p) for p in parts]
        # (P, 6): x, y [m], unit direction to the next point, way to it and way so far [m].
        self._points = np.concatenate(parts)
        self._offsets = np.cumsum(sizes, dtype=np.int32)  # (A + 1,) track a owns points[offsets[a]:offsets[a + 1]]
        pointers = self._points.ctypes.data, self._offsets.ctypes.data
        self.row = np.array([pointers[0], len(self._points), pointers[1], len(sizes)], np.int64)


_PATHS: WeakKeyDictionary[Scene, _Paths] = WeakKeyDictionary()
"""Kept as long as the scene itself."""


@njit(cache=True, error_model="numpy")
def _gain(
    rows: NDArray[np.int64], track: NDArray[np.int32], x0: Float, y0: Float, x1: Float, y1: Float, out: Float
) -> None:
    for b in range(len(rows)):
        points, offsets = floats(rows[b, 0], (rows[b, 1], 6)), ints(rows[b, 2], rows[b, 3])
        for n in range(out.shape[1]):
            a = track[b, n]
            if a < 0 or (x0[b, n] == x1[b, n] and y0[b, n] == y1[b, n]):
                continue
            path = points[offsets[a] : offsets[a + 1]]
            out[b, n] = _project(path, x1[b, n], y1[b, n]) - _project(path, x0[b, n], y0[b, n])


@njit(cache=True, error_model="numpy")
def _project(path: Float, x: np.float32, y: np.float32) -> np.float32:
    """Way along the path to its point nearest to (x, y), m."""
    best, best_way = np.float32(np.inf), np.float32(0.0)
    for k in range(len(path) - 1):
        dx, dy = x - path[k, 0], y - path[k, 1]
        along = min(max(dx * path[k, 2] + dy * path[k, 3], np.float32(0.0)), path[k, 4])
        dx -= along * path[k, 2]
        dy -= along * path[k, 3]
        away = dx * dx + dy * dy
        if away < best:
            best, best_way = away, path[k, 5] + along
    return best_way


def _measured(path: NDArray[np.float64]) -> Float:
    """One path, thinned where it is straight, with what `_project` needs of it, float32 ``[n, 6]``."""
    xyz = np.zeros((len(path), 3), np.float32)
    xyz[:, :2] = path
    kept = [0]
    while kept[-1] < len(path) - 1:
        kept.append(furthest_straight(xyz, kept[-1], len(path) - 1, THIN_M, np.inf))
    path = path[kept]
    out = np.zeros((len(path), 6), np.float32)
    out[:, :2] = path
    step = np.diff(path, axis=0)
    way = np.hypot(step[:, 0], step[:, 1])
    out[:-1, 2:4], out[:-1, 4] = step / way[:, None], way
    out[1:, 5] = np.cumsum(way)
    return out
