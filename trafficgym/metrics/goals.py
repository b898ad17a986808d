"""Goals that agents are given, and whether they get there: the passing miss rate of RLFTSim (METHODS.md D.3).

Whether an agent of a world reaches the goal that the world itself has for it, is `infractions.goal`. Here goals are
anybody's, rollouts are plain arrays, as `SmartPolicy` and the sim agents challenge give them, and an agent whose goal
is NaN has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene

Float = NDArray[np.floating]
Bool = NDArray[np.bool_]
Criterion = Literal["soft", "hard"]

RADIUS_M = 2.0
LATERAL_M, LONGITUDINAL_M = 3.0, 6.0
"""WOMD's thresholds of a miss after 8 s, at speed."""
SLOW, FAST = 1.4, 11.0
"""m/s between which the factor on them grows from 0.5 to 1."""


class GoalMisses(NamedTuple):
    """What `goal_misses` found in R rollouts of a scene with A agents."""

    missed: Bool  # (R, A), False where `valid` is
    valid: Bool  # (A,) who is evaluated and has a goal

    @property
    def rate(self) -> float | None:
        """Share of misses over rollouts and agents; None where nobody has a goal."""
        return miss_rate([self])


@dataclass(frozen=True, kw_only=True)
class WomdThresholds:
    """WOMD's own criterion: a box along the heading at the goal, smaller for those who are slow at the beginning."""

    yaw: Float  # (A,) rad, at the goal
    speed: Float  # (A,) m/s, at the beginning

    @classmethod
    def of(cls, scene: Scene) -> WomdThresholds:
        """Of the tracks of a scene: headings where their logs end, and speeds "now"."""
        tracks, now = scene.tracks, scene.current_step
        each, last, _ = _last_step(scene)
        return cls(yaw=tracks.yaw[each, last], speed=np.hypot(tracks.vx[:, now], tracks.vy[:, now]))

    def inside(self, away: Float) -> Bool:
        """Whether displacements from the goals, ``[..., A, T, 2]`` m, are within the box, bool ``[..., A, T]``."""
        scale = 0.5 + 0.5 * np.clip((self.speed - SLOW) / (FAST - SLOW), 0, 1)[:, None]
        cos, sin = np.cos(self.yaw)[:, None], np.sin(self.yaw)[:, None]
        along, across = away[..., 0] * cos + away[..., 1] * sin, away[..., 1] * cos - away[..., 0] * sin
        return (np.abs(along) <= LONGITUDINAL_M * scale) & (np.abs(across) <= LATERAL_M * scale)


def goal_misses(
    rollouts: Float,
    goals: Float,
    agents: Bool,
    *,
    criterion: Criterion = "soft",
    within: float | WomdThresholds = RADIUS_M,
) -> GoalMisses:
    """Who never comes to the goal.

    Args:
        rollouts: Positions after the beginning, x and y first, ``[R, A, T, 2 or more]`` m.
        goals: ``[A, 2]`` m in the same frame, NaN where there is none.
        agents: Who is evaluated, bool ``[A]``; WOSAC's are `evaluated_tracks`.
        criterion: ``"soft"``: at no step, which is the passing miss; ``"hard"``: not at the last one.
        within: How near is there: m, or WOMD's thresholds.

    Raises:
        ConfigError: shapes do not fit, or the criterion is neither.
    """
    if criterion not in ("soft", "hard"):
        raise ConfigError(f"criterion is {criterion!r}; it is 'soft' or 'hard'")
    shape = rollouts.shape
    if len(shape) != 4 or goals.shape != (shape[1], 2) or agents.shape != (shape[1],):
        raise ConfigError(
            f"rollouts have shape {shape}, goals {goals.shape}, agents {agents.shape}; give (R, A, T, 2 or more), "
            "(A, 2) and (A,)"
        )
    valid = agents & np.isfinite(goals).all(-1)
    at = rollouts[..., :2] if criterion == "soft" else rollouts[:, :, -1:, :2]
    away = at - goals[:, None]  # NaN, which is nowhere near, where there is no goal
    if isinstance(within, WomdThresholds):
        near = within.inside(away)
    else:
        near = np.hypot(away[..., 0], away[..., 1]) <= within
    return GoalMisses(~near.any(-1) & valid, valid)


def miss_rate(found: Sequence[GoalMisses]) -> float | None:
    """Share of misses over all rollouts and agents of several scenes; None where nobody has a goal."""
    cases = sum(len(one.missed) * int(one.valid.sum()) for one in found)
    return sum(int(one.missed.sum()) for one in found) / cases if cases else None


class Controllability(NamedTuple):
    """How often agents get where they are told, as RLFTSim reports it; None where nobody has a goal."""

    reached: float | None  # at the end
    passed: float | None  # at any time
    num_goals: int


def controllability(
    rollouts: Sequence[Float], goals: Sequence[Float], agents: Sequence[Bool], radius: float = RADIUS_M
) -> Controllability:
    """Over several scenes; for the arguments of each see `goal_misses`."""
    hard, soft = (
        [goal_misses(*scene, criterion=criterion, within=radius) for scene in zip(rollouts, goals, agents, strict=True)]
        for criterion in ("hard", "soft")
    )
    missed, not_passed = miss_rate(hard), miss_rate(soft)
    return Controllability(
        None if missed is None else 1 - missed,
        None if not_passed is None else 1 - not_passed,
        sum(int(one.valid.sum()) for one in soft),
    )


def evaluated_tracks(scene: Scene) -> Bool:
    """WOSAC's: the SDC and the tracks to predict that are there "now", bool ``[A]``."""
    tracks = scene.tracks
    return (tracks.is_sdc | tracks.to_predict) & tracks.valid[:, scene.current_step]


def logged_goals(scene: Scene) -> NDArray[np.float32]:
    """Where the future of each log ends, float32 ``[A, 2]`` m in the scene frame.

    NaN for tracks that are not there "now", or never after.
    """
    each, last, known = _last_step(scene)
    ends = np.stack([scene.tracks.x[each, last], scene.tracks.y[each, last]], -1).astype(np.float32)
    return np.where(known[:, None], ends, np.float32(np.nan))


def _last_step(scene: Scene) -> tuple[NDArray[np.intp], NDArray[np.intp], Bool]:
    """Number of each track, its last valid step, and whether that is after "now" and the track is there now."""
    valid, now = scene.tracks.valid, scene.current_step
    last = scene.num_steps - 1 - valid[:, ::-1].argmax(1)
    return np.arange(len(valid)), last, valid[:, now] & (last > now)


__all__ = [
    "Controllability",
    "GoalMisses",
    "WomdThresholds",
    "controllability",
    "evaluated_tracks",
    "goal_misses",
    "logged_goals",
    "miss_rate",
]
