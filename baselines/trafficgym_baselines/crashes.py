"""Collisions between agents in rollouts, and a pair of rollouts of which only one has any."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.scene import Scene
from trafficgym.world.geometry import separation
from trafficgym.world.road_index import LEVEL_M
from trafficgym.world.state import DT

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

SEEN_BEFORE, SEEN_AFTER = 15, 10  # steps; a crash is worth showing with at least so much around it
SHOWN_AFTER = 20  # steps after which a film ends


@dataclass(frozen=True, kw_only=True)
class Crash:
    """The first collision of a rollout."""

    step: int  # of the rollout, 0 is the first after the current one
    agents: tuple[int, int]  # tracks
    speed: float  # m/s, of one relative to the other


@dataclass(frozen=True, kw_only=True, eq=False)
class CrashPair:
    """Two rollouts of one scene and seed: one crashes, and the other doesn't as long as both are shown."""

    scene: Scene
    number: int  # of the rollout
    crash: Crash
    crash_after: Crash | None  # later than what is shown
    before: Float  # (A, T, 4) x, y, z, yaw, scene frame, see `Habits.of`
    after: Float


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """What was found among scenes, and how many of all rollouts crash."""

    pair: CrashPair | None
    num_scenes: int
    num_rollouts: int
    before: int  # rollouts with a crash
    after: int

    def __str__(self) -> str:
        of = f"of {self.num_rollouts} rollouts of {self.num_scenes} scenes, {self.before} crash before and {self.after}"
        if self.pair is None:
            none = "in none the crash can be seen while the other side of the same seed is free of any"
            return f"{of} after, but {none}; try more scenes or rollouts"
        later = self.pair.crash_after
        rest = f", after the tuning nobody crashes until {DT * (later.step + 1):.1f} s" if later else ""
        return f"{of} after; shown is rollout {self.pair.number} of scene {self.pair.scene.id}{rest}"


def first_crash(scene: Scene, rollout: Float) -> Crash | None:
    """The first moment at which boxes overlap of two who did not at the current step, or None.

    Args:
        scene: Gives sizes, and who is there at the current step; the others do not collide.
        rollout: ``[A, T, 4]``.
    """
    tracks, now = scene.tracks, scene.current_step
    half_length, half_width = (0.5 * a[:, now].astype(np.float32) for a in (tracks.length, tracks.width))
    start = np.stack([getattr(tracks, name)[:, now] for name in ("x", "y", "z", "yaw")], -1)[:, None]
    motion = np.ascontiguousarray(np.concatenate([start, rollout], 1), np.float32)
    step, i, j = _first_crash(motion, half_length, half_width, tracks.valid[:, now])
    if step < 0:
        return None
    velocity = (motion[:, step, :2] - motion[:, step - 1, :2]) / DT
    return Crash(step=step - 1, agents=(i, j), speed=float(np.hypot(*(velocity[i] - velocity[j]))))


@njit(cache=True)
def _first_crash(motion: Float, half_length: Float, half_width: Float, present: Bool) -> tuple[int, int, int]:
    """Step and the two of the first new overlap in motion ``[A, T, 4]``; -1 where there is none."""
    num, steps = motion.shape[:2]
    old = np.zeros((num, num), np.bool_)
    for t in range(steps):
        for i in range(num):
            for j in range(i + 1, num):
                if not (present[i] and present[j]) or old[i, j]:
                    continue
                dx, dy = motion[j, t, 0] - motion[i, t, 0], motion[j, t, 1] - motion[i, t, 1]
                reach = half_length[i] + half_width[i] + half_length[j] + half_width[j]
                if dx * dx + dy * dy > reach * reach or abs(motion[j, t, 2] - motion[i, t, 2]) > LEVEL_M:
                    continue
                a, b = motion[i, t, 3], motion[j, t, 3]
                gap, _, _ = separation(
                    dx, dy, math.cos(a), math.sin(a), half_length[i], half_width[i],
                    math.cos(b), math.sin(b), half_length[j], half_width[j],
                )  # fmt: skip
                if gap < 0 and t > 0:
                    return t, i, j
                old[i, j] = gap < 0
    return -1, -1, -1


def find_crash_pair(rollouts: Iterable[tuple[Scene, Float, Float]]) -> Search:
    """The pair whose crash is the fastest of those that can be seen coming, if possible without any crash after.

    Args:
        rollouts: Scenes, each with its rollouts before and after, ``[R, A, T, 4]``, the same seeds in the same order.
    """
    pair, num_scenes, num, counts = None, 0, 0, [0, 0]
    for scene, before, after in rollouts:
        num_scenes, num = num_scenes + 1, num + len(before)
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            crash, crash_after = first_crash(scene, one), first_crash(scene, other)
            counts = [counts[0] + (crash is not None), counts[1] + (crash_after is not None)]
            if crash is None or not _is_shown(crash, crash_after, one.shape[1]):
                continue
            found = CrashPair(scene=scene, number=number, crash=crash, crash_after=crash_after, before=one, after=other)
            pair = found if pair is None else max(pair, found, key=_worth)
    return Search(pair=pair, num_scenes=num_scenes, num_rollouts=num, before=counts[0], after=counts[1])


def _worth(pair: CrashPair) -> tuple[bool, float]:
    return pair.crash_after is None, pair.crash.speed


def _is_shown(crash: Crash, after: Crash | None, num_steps: int) -> bool:
    in_view = SEEN_BEFORE <= crash.step < num_steps - SEEN_AFTER
    return in_view and (after is None or after.step > crash.step + SHOWN_AFTER)
