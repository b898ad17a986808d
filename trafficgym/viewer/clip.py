"""Something to play: a scene and a frame for every step of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trafficgym.viewer.frame import Frame, Ghosts, frame_of_log, frame_of_rollout

if TYPE_CHECKING:
    from trafficgym.scene.scene import Scene
    from trafficgym.viewer.live import LiveRun
    from trafficgym.world.rollout import Rollout


Pose = tuple[NDArray, NDArray, NDArray]  # x, y, yaw


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """`num_steps` moments of `scene`, 0.1 s apart."""

    scene: Scene
    num_steps: int
    frame: Callable[[int], Frame]  # step in [0, num_steps) to what is drawn
    title: str = ""  # for the window; empty: the scene's id
    run: LiveRun | None = None  # where keys can drive: what is asked for first is played first

    def at(self, time: float) -> Frame:
        """The frame at a `time` in steps; between two steps things are half way."""
        step = min(max(int(time), 0), self.num_steps - 1)
        fraction = time - step
        if fraction <= 0 or step + 1 >= self.num_steps:
            return self.frame(step)
        return _between(self.frame(step), self.frame(step + 1), fraction)


def clip_of_log(scene: Scene) -> Clip:
    """The recording itself."""
    return Clip(scene=scene, num_steps=scene.num_steps, frame=lambda step: frame_of_log(scene, step))


def clip_of_rollout(rollout: Rollout) -> Clip:
    """A closed-loop run."""
    return Clip(scene=rollout.scene, num_steps=rollout.num_steps, frame=lambda step: frame_of_rollout(rollout, step))


def _between(a: Frame, b: Frame, fraction: float) -> Frame:
    """`a` with everything that is also in `b` moved towards it."""
    moved = _move((a.x, a.y, a.yaw), (b.x, b.y, b.yaw), a.present & b.present, fraction)
    ghosts = a.ghosts
    if a.ghosts is not None and b.ghosts is not None:
        both, g, h = a.ghosts.valid & b.ghosts.valid, a.ghosts, b.ghosts
        x, y, yaw = _move((g.x, g.y, g.yaw), (h.x, h.y, h.yaw), both, fraction)
        ghosts = Ghosts(x=x, y=y, yaw=yaw, valid=g.valid)
    time_s = a.time_s + fraction * (b.time_s - a.time_s)
    return replace(a, x=moved[0], y=moved[1], yaw=moved[2], ghosts=ghosts, time_s=time_s)


def _move(a: Pose, b: Pose, both: NDArray[np.bool_], fraction: float) -> Pose:
    """x, y and yaw between those of `a` and `b`, where both are there; else those of `a`."""
    (x0, y0, yaw0), (x1, y1, yaw1) = a, b
    weight = np.where(both, fraction, 0.0).astype(np.float32)
    turn = (yaw1 - yaw0 + np.pi) % (2 * np.pi) - np.pi
    return x0 + weight * (x1 - x0), y0 + weight * (y1 - y0), yaw0 + weight * turn
