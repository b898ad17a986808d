"""How simulated vehicles drive where the realism meta-metric does not look: headway, jerk and lane changes.

Who is rewarded for a metric learns what it asks for, and perhaps nothing else. These three are not among its features,
and so tell whether a simulator that scores better drives more like the log (METHODS.md I.0).

They are of the evaluated vehicles: the recording car and the tracks to predict. The log and rollouts are looked at
over the same agent-steps, those at which the log is valid and the agent was there at the current step.

- headway: the time until the front bumper is where the leader's rear bumper is now, gap over speed, s; every half
  second. The leader is who is next along the lane, or along those it leads into (`lane_corridors`). Defined above
  `MIN_SPEED` and below `MAX_HEADWAY`.
- jerk: third difference of the way along the vehicle's heading over spans of `SPAN_STEPS`, m/s^3; every step. Over
  shorter spans the noise of logged positions hides what vehicles do.
- lane changes: see `lane_corridors.lane_changes`; per minute on known lanes. Unknown in maps without a lane graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, SceneError
from trafficgym.metrics.distribution import Bins, jensen_shannon
from trafficgym.metrics.lane_corridors import LaneLines, gaps_ahead, lane_changes, lane_lines
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.state import DT

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Counts = NDArray[np.int64]

MIN_SPEED = 2.0  # m/s
MAX_HEADWAY = 10.0  # s
SPAN_STEPS = 3
HEADWAY_EVERY = 5  # steps
HEADWAY_BINS = Bins(low=0.0, high=MAX_HEADWAY, num=20)  # s
JERK_BINS = Bins(low=-10.0, high=10.0, num=40)  # m/s^3


@dataclass(frozen=True, kw_only=True, eq=False)
class HabitCounts:
    """What was counted in rollouts or in the log; adds up over scenes."""

    headway: Counts  # in HEADWAY_BINS
    jerk: Counts  # in JERK_BINS
    lane_changes: int
    lane_steps: int  # agent-steps at which it is known on which lanes an agent is

    def __add__(self, other: HabitCounts) -> HabitCounts:
        return HabitCounts(
            headway=self.headway + other.headway,
            jerk=self.jerk + other.jerk,
            lane_changes=self.lane_changes + other.lane_changes,
            lane_steps=self.lane_steps + other.lane_steps,
        )

    @property
    def lane_changes_per_minute(self) -> float:
        """Of one vehicle; NaN where no lane is known."""
        return self.lane_changes / (self.lane_steps * DT / 60) if self.lane_steps else float("nan")


def divergences(simulated: HabitCounts, logged: HabitCounts) -> dict[str, float]:
    """Jensen-Shannon divergence of headway and jerk, nats in [0, ln 2]; NaN where either side has none.

    Few counts diverge by chance alone, so compare simulators over the same scenes, and rather over many.
    """
    return {
        name: float(jensen_shannon(getattr(simulated, name), getattr(logged, name))) for name in ("headway", "jerk")
    }


class Habits:
    """Counts habits in rollouts of one scene; what depends on the scene alone is prepared once.

    Args:
        scene: A scene with its future.

    Raises:
        SceneError: it has no future.
    """

    def __init__(self, scene: Scene) -> None:
        tracks, now = scene.tracks, scene.current_step
        if scene.num_steps <= now + 1:
            raise SceneError(f"scene {scene.id!r} ends at its current step; habits are counted in its future")
        self.scene = scene
        self._valid = tracks.valid[:, now:] & tracks.valid[:, now, None]
        vehicle = (tracks.type == AgentType.VEHICLE) & tracks.valid[:, now]
        self.evaluated = np.flatnonzero((tracks.is_sdc | tracks.to_predict) & vehicle)
        """Tracks whose habits are counted, ``[E]``."""
        on_wheels = (tracks.type == AgentType.VEHICLE) | (tracks.type == AgentType.CYCLIST)
        self._leaders = np.flatnonzero(on_wheels & tracks.valid[:, now])
        self._now = np.stack([getattr(tracks, name)[:, now] for name in ("x", "y", "z", "yaw")], -1)[:, None]
        self._half_length = 0.5 * tracks.length[:, now].astype(np.float64)
        self._lines = lane_lines(scene)

    def of_log(self) -> HabitCounts:
        """The habits of the log."""
        tracks, future = self.scene.tracks, slice(self.scene.current_step + 1, None)
        motion = np.stack([getattr(tracks, name)[:, future] for name in ("x", "y", "z", "yaw")], -1)
        return self.of(motion[None])

    def of(self, rollouts: NDArray[np.floating]) -> HabitCounts:
        """The habits in rollouts.

        Args:
            rollouts: ``[R, A, T, 4]``: x, y, z [m] and yaw [rad] in the scene's frame, of all its tracks, for the steps
                of 0.1 s after the current one. Steps beyond the log do not count.

        Raises:
            ConfigError: another shape, or a number of an evaluated agent that is not finite.
        """
        rollouts, num = np.asarray(rollouts), self.scene.num_agents
        if rollouts.ndim != 4 or rollouts.shape[1] != num or rollouts.shape[3] != 4 or rollouts.shape[2] < 1:
            raise ConfigError(
                f"scene {self.scene.id!r}: rollouts must be (rollouts, tracks, steps, 4) = (R, {num}, T, 4), "
                f"got {rollouts.shape}"
            )
        steps = min(rollouts.shape[2], self._valid.shape[1] - 1)
        now = np.broadcast_to(self._now, (len(rollouts), num, 1, 4))
        motion = np.concatenate([now, rollouts[:, :, :steps]], 2).astype(np.float64)
        valid = self._valid[:, : steps + 1]
        if not np.isfinite(motion[:, self.evaluated][:, valid[self.evaluated]]).all():
            raise ConfigError(f"scene {self.scene.id!r}: rollouts have numbers that are not finite")
        return self._count(motion[..., 0], motion[..., 1], np.cos(motion[..., 3]), np.sin(motion[..., 3]), valid)

    def _count(self, x: Float, y: Float, cos: Float, sin: Float, valid: Bool) -> HabitCounts:
        """Counts from everybody's motion ``[R, A, T]`` and where it counts ``[A, T]``."""
        own, lead = self.evaluated, self._leaders
        of_own = [a[:, own] for a in (x, y, cos, sin)]
        jerk, speed = _jerk(valid[own], *of_own), _speed(valid[own], *of_own)
        of_leaders = [np.ascontiguousarray(a[:, lead]) for a in (x, y, cos, sin)]
        followers = np.searchsorted(lead, own)
        headway = _headways(self._lines, *of_leaders, self._half_length[lead], valid[lead], followers, speed)
        changes = known = 0
        if self.scene.road.has_lane_graph:
            each = [np.ascontiguousarray(a.reshape(-1, a.shape[-1])) for a in of_own]
            changes, known = lane_changes(self._lines, *each, np.tile(valid[own], (len(x), 1)))
        return HabitCounts(
            headway=HEADWAY_BINS.count(headway[np.isfinite(headway)]),
            jerk=JERK_BINS.count(jerk[np.isfinite(jerk)]),
            lane_changes=changes,
            lane_steps=known,
        )


def _way(span: int, valid: Bool, x: Float, y: Float, cos: Float, sin: Float) -> Float:
    """Displacement over `span` steps along the mean of the headings at its ends, ``[..., T - span]`` m, or NaN."""
    a, b = slice(None, -span), slice(span, None)
    ux, uy = cos[..., a] + cos[..., b], sin[..., a] + sin[..., b]
    size = np.maximum(np.hypot(ux, uy), 1e-6)
    way = ((x[..., b] - x[..., a]) * ux + (y[..., b] - y[..., a]) * uy) / size
    return np.where(valid[..., a] & valid[..., b], way, np.nan)


def _jerk(valid: Bool, x: Float, y: Float, cos: Float, sin: Float) -> Float:
    """m/s^3 at the steps at which it is known, NaN at others; ``[R, E, T - 3 SPAN_STEPS]``."""
    if valid.shape[-1] <= 3 * SPAN_STEPS:
        return np.zeros((*x.shape[:2], 0))
    way, n = _way(SPAN_STEPS, valid, x, y, cos, sin), SPAN_STEPS
    jerk: Float = (way[..., 2 * n :] - 2 * way[..., n:-n] + way[..., : -2 * n]) / (n * DT) ** 3
    return jerk


def _speed(valid: Bool, x: Float, y: Float, cos: Float, sin: Float) -> Float:
    """Speed along the heading from the steps before and after, m/s; NaN where unknown; ``[R, E, T]``."""
    speed = np.full(x.shape, np.nan)
    if x.shape[-1] > 2:
        speed[..., 1:-1] = _way(2, valid, x, y, cos, sin) / (2 * DT)
    return speed


@njit(cache=True, error_model="numpy")
def _headways(
    lines: LaneLines,
    x: Float,
    y: Float,
    cos: Float,
    sin: Float,
    half_length: Float,
    present: Bool,
    followers: NDArray[Any],
    speed: Float,
) -> Float:
    """Headways ``[R, E, steps]`` s every `HEADWAY_EVERY` steps, NaN where undefined; positions ``[R, A, T]``."""
    num, steps = x.shape[0], (x.shape[2] - 1) // HEADWAY_EVERY
    found = np.full((num, len(followers), steps), np.nan)
    for k in range(steps):
        t = (k + 1) * HEADWAY_EVERY
        here = present[:, t].copy()
        for r in range(num):
            v = speed[r, :, t].copy()
            reach = np.where(v >= MIN_SPEED, MAX_HEADWAY * v, 0.0)  # NaN compares as False
            gaps = gaps_ahead(
                lines, x[r, :, t], y[r, :, t], cos[r, :, t], sin[r, :, t], half_length, here, followers, reach
            )
            for e in range(len(followers)):
                if np.isfinite(gaps[e]):
                    found[r, e, k] = gaps[e] / v[e]
    return found
