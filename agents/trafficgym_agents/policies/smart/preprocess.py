"""The log as the model knows it: who is there "now", nine seconds around it, gaps filled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym.errors import SceneError
from trafficgym.metrics.wosac.log import in_source
from trafficgym.scene.scene import AgentType, Scene
from trafficgym_agents.policies.smart.config import FUTURE_STEPS, HISTORY_STEPS, STEPS_PER_TOKEN
from trafficgym_agents.policies.smart.polylines import Frame, source_origin

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Int = NDArray[np.int64]

NOW = HISTORY_STEPS
"""Step of the window that is "now"."""
DT = 0.1
SHARPEST_TURN = 1.5
"""rad in a step; what turns further is a detector that took the front for the back."""
SIGHT = 150.0
"""m from the SDC; in training, states beyond are left out."""
LEARNING_SIGHT = 100.0
"""m from the SDC "now"; agents beyond carry no loss, unless they have a role."""
LEARNING_STEPS = 5
"""Future steps that an agent without a role must be seen for to carry loss."""
MOST_LEARNERS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class AgentLog:
    """A agents over W steps, of which step 10 is "now". Where `valid` is False, values are 0."""

    track: NDArray[np.int32]  # (A,) index into the tracks of the scene, ascending
    type: Int  # (A,) 0 vehicle, 1 pedestrian, 2 cyclist
    size: Float  # (A, 3) m: length, width, height, means over the window
    role: Bool  # (A, 3) SDC, of interest, to predict
    z: Float  # (A,) m, "now"
    xyz: Float  # (A, W, 3) m, box centre
    yaw: Float  # (A, W) rad, without jumps of a turn
    velocity: Float  # (A, W, 2) m/s
    valid: Bool  # (A, W)

    def __len__(self) -> int:
        return len(self.type)

    @classmethod
    def of(cls, scene: Scene, frame: Frame = "scene") -> AgentLog:
        """Vehicles, pedestrians and cyclists that are there at the scene's current step (METHODS.md A.1).

        What a track lacks between its first and its last step in the window is filled in linearly. Steps that the
        scene does not have are not valid.

        Raises:
            SceneError: there is none.
        """
        tracks, now, track = scene.tracks, scene.current_step, _present(scene)
        steps = np.arange(now - HISTORY_STEPS, now + FUTURE_STEPS + 1)
        cell = np.ix_(track, np.clip(steps, 0, scene.num_steps - 1))
        seen = tracks.valid[cell] & (steps >= 0) & (steps < scene.num_steps)
        gaps = _nearest_seen(seen)
        yaw = tracks.yaw[cell]
        if tracks.turns is not None:
            yaw = (yaw + 2 * np.pi * tracks.turns[cell].astype(np.float64)).astype(np.float32)
        position = [
            in_source(getattr(tracks, axis)[cell], origin)
            for axis, origin in zip("xyz", source_origin(scene, frame), strict=True)
        ]
        sizes = np.stack([tracks.length[cell], tracks.width[cell], tracks.height[cell]], -1)
        return cls(
            track=track.astype(np.int32),
            type=tracks.type[track].astype(np.int64) - AgentType.VEHICLE,
            size=sizes.sum(1, where=seen[..., None]) / seen.sum(1, keepdims=True).astype(np.float32),
            role=np.stack([tracks.is_sdc, tracks.of_interest, tracks.to_predict], 1)[track],
            z=position[2][:, NOW],
            xyz=np.stack([_filled(values, *gaps) for values in position], -1),
            yaw=_filled(np.unwrap(np.take_along_axis(yaw, gaps[0], 1), axis=1), *gaps),
            velocity=np.stack([_filled(values[cell], *gaps) for values in (tracks.vx, tracks.vy)], -1),
            valid=gaps[2],
        )

    def masked(self, keep: Bool) -> AgentLog:
        """Without the states where `keep` ``[A, W]`` is False."""
        valid = self.valid & keep
        xyz, yaw, velocity = (values.copy() for values in (self.xyz, self.yaw, self.velocity))
        xyz[~valid], yaw[~valid], velocity[~valid] = 0, 0, 0
        return replace(self, xyz=xyz, yaw=yaw, velocity=velocity, valid=valid)

    def near_sdc(self, reach: float) -> Bool:
        """Where agents are within `reach` m of the SDC, or it is not known where that is, bool ``[A, W]``."""
        sdc = np.flatnonzero(self.role[:, 0])
        if not len(sdc):
            return np.ones(self.valid.shape, bool)
        away: Float = np.linalg.norm(self.xyz - self.xyz[sdc[0]], axis=-1)
        return np.where(self.valid[sdc[0]], away <= reach, True)

    def learners(self, rng: Generator) -> Bool:
        """Who carries loss, bool ``[A]``: those with a role, and of those near the SDC as many as fit, at random."""
        has_role = self.role.sum(1) > 0
        seen = self.valid[:, NOW + 1 :].sum(1) >= LEARNING_STEPS
        near = self.valid[:, NOW] & self.near_sdc(LEARNING_SIGHT)[:, NOW]
        may = has_role | (near & seen)
        drawn = rng.permutation(len(self))
        drawn = drawn[np.argsort(~has_role[drawn], kind="stable")]
        out = np.zeros(len(self), bool)
        out[drawn[may[drawn]][:MOST_LEARNERS]] = True
        return out

    def with_steady_yaw(self) -> AgentLog:
        """Headings that turn too far in a step are replaced by the one before."""
        yaw, pi = self.yaw.copy(), np.float32(np.pi)
        both = self.valid[:, 1:] & self.valid[:, :-1]
        for step in range(1, yaw.shape[1]):
            turn = np.abs((yaw[:, step] - yaw[:, step - 1] + pi) % (2 * pi) - pi)
            flips = both[:, step - 1] & (turn > SHARPEST_TURN)
            yaw[flips, step] = yaw[flips, step - 1]
        return replace(self, yaw=yaw)

    def from_token_start(self) -> AgentLog:
        """Tracks continued backwards at constant velocity to the step where a token starts.

        A track that begins "now" is continued by a whole token, so that every agent has a history.
        """
        xyz, yaw, velocity = (values.copy() for values in (self.xyz, self.yaw, self.velocity))
        valid = self.valid.copy()
        first = valid.argmax(1)
        num = np.where(first == NOW, STEPS_PER_TOKEN, first % STEPS_PER_TOKEN) * valid.any(1)
        for back in range(1, STEPS_PER_TOKEN + 1):
            agent = np.flatnonzero(num >= back)
            at, to = first[agent], first[agent] - back
            xyz[agent, to] = xyz[agent, at]
            xyz[agent, to, :2] -= np.float32(back * DT) * velocity[agent, at]
            yaw[agent, to], velocity[agent, to], valid[agent, to] = yaw[agent, at], velocity[agent, at], True
        return replace(self, xyz=xyz, yaw=yaw, velocity=velocity, valid=valid)


def _present(scene: Scene) -> NDArray[np.intp]:
    """Tracks of vehicles, pedestrians and cyclists that are there at the current step."""
    tracks, now = scene.tracks, scene.current_step
    has_tokens = (tracks.type >= AgentType.VEHICLE) & (tracks.type <= AgentType.CYCLIST)
    track = np.flatnonzero(tracks.valid[:, now] & has_tokens)
    if not len(track):
        raise SceneError(
            f"scene {scene.id!r} has no vehicle, pedestrian or cyclist at its current step {now}, so that SMART has "
            "nobody to move; leave it out"
        )
    return track


def _nearest_seen(seen: Bool) -> tuple[Int, Int, Bool]:
    """The last step seen up to each step and the first from it on ``[A, W]``, and whether there are both.

    Where there is only one, it is both; each agent has been seen.
    """
    steps, last = np.arange(seen.shape[1]), seen.shape[1] - 1
    before = np.maximum.accumulate(np.where(seen, steps, -1), axis=1)
    after = np.minimum.accumulate(np.where(seen, steps, last + 1)[:, ::-1], axis=1)[:, ::-1]
    return np.where(before < 0, after, before), np.where(after > last, before, after), (before >= 0) & (after <= last)


def _filled(values: Float, before: Int, after: Int, valid: Bool) -> Float:
    """Values ``[A, W]`` with gaps filled in linearly, and 0 where not valid."""
    start = np.take_along_axis(values, before, 1).astype(np.float64)
    slope = (np.take_along_axis(values, after, 1) - start) / np.maximum(after - before, 1)
    filled = slope * (np.arange(values.shape[1]) - before) + start
    return np.where(valid, filled, 0.0).astype(np.float32)
