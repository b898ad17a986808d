"""How close it came: time to collision, deceleration to avoid a crash, and post-encroachment time.

All three look at boxes in the plane, at full size, of every pair of road users of which one is a measured
agent; the other is anybody on the road, replayed ones included. Pairs on different levels (centres more than
`LEVEL_M` apart in height, as on a bridge) never conflict.

- TTC at a step: the time until the two boxes first touch if both keep their velocity and their yaw (no
  lane is followed: oncoming cars in a bend can be on collision course for a moment, in the log as well).
  It is 0 where they overlap. (Hayward 1972, in two dimensions.)
- DRAC at a step: the constant deceleration of the relative motion that just avoids the contact,
  ``v^2 / (2 d)`` with v the relative speed and d the relative way until contact, which is ``v / (2 TTC)``.
  It belongs to those of the two whose own motion closes the distance: to the follower and not to the
  vehicle that it runs into, to both in a crossing or a head-on encounter. Boxes that overlap have none:
  it is too late to brake. (Cooper and Ferguson 1976.)
- PET: the smallest time between one road user's leaving and the other's reaching a place that both cover in
  the rollout, in steps of 0.1 s, rounded up; 0 where they overlap at the same time. Crossing, merging and
  following encounters all count; for a follower it is the time gap. (Allen, Shin and Cooper 1978.)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.metrics.trajectories import (
    Bool,
    Boxes,
    Float,
    Masked,
    Trajectories,
    boxes,
    measured_agents,
    simulated,
)
from trafficgym.world.geometry import separation
from trafficgym.world.road_index import (
    LEVEL_M,
)
from trafficgym.world.rollout import Rollout
from trafficgym.world.state import DT

TTC_HORIZON_S = 10.0
"""Contacts further ahead than this are no conflict."""
PET_HORIZON_S = 5.0
"""Encounters further apart in time than this are no conflict."""


class Encounters(NamedTuple):
    """The most critical moment of each agent over a rollout; the masks say whether there was a conflict at all."""

    ttc: Masked  # s, smallest
    drac: Masked  # m/s^2, largest
    pet: Masked  # s, smallest


def encounters(rollout: Rollout, agents: Bool | None = None) -> Encounters:
    """Smallest TTC, largest DRAC and smallest PET of each agent with anybody, ``[A]`` each.

    Args:
        agents: bool ``[A]``, the agents to measure; `measured_agents` by default.
    """
    agents = measured_agents(rollout) if agents is None else agents
    motion = simulated(rollout)
    ttc, drac = conflicts(motion, agents)
    lag = _lag_kernel(boxes(motion), agents, round(PET_HORIZON_S / DT))
    return Encounters(
        ttc=_masked(ttc.min(axis=1, initial=math.inf)),
        drac=_masked(drac.max(axis=1, initial=-math.inf)),
        pet=_masked(np.where(lag < 0, math.inf, lag * DT)),
    )


def min_ttc(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Smallest time to collision with anybody over the rollout, s ``[A]``, and whether there was a conflict."""
    return encounters(rollout, agents).ttc


def max_drac(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Largest deceleration rate to avoid a crash over the rollout, m/s^2 ``[A]``, and whether there was a conflict."""
    return encounters(rollout, agents).drac


def pet(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Smallest post-encroachment time with anybody, s ``[A]``, and whether there was an encounter."""
    return encounters(rollout, agents).pet


def conflicts(motion: Trajectories, agents: Bool) -> tuple[Float, Float]:
    """TTC and DRAC of each agent at each step, over everybody else.

    Returns:
        Smallest TTC, s ``[A, T]``, inf where there is no conflict; largest DRAC, m/s^2 ``[A, T]``, -inf where
        there is none.
    """
    return _conflict_kernel(boxes(motion), motion.vx, motion.vy, agents, TTC_HORIZON_S)


def _masked(values: Float) -> Masked:
    valid = np.isfinite(values)
    return Masked(np.where(valid, values, 0.0), valid)


@njit(cache=True)
def contact_time(
    dx: float,
    dy: float,
    dvx: float,
    dvy: float,
    cos_a: float,
    sin_a: float,
    half_length_a: float,
    half_width_a: float,
    cos_b: float,
    sin_b: float,
    half_length_b: float,
    half_width_b: float,
) -> float:
    """Time until two boxes that only translate first touch, exact by the separating axis theorem.

    On each axis the projections overlap during one interval of time; the boxes overlap while all do.

    Args:
        dx: Centre of b minus centre of a, x [m]; dy alike.
        dvx: Velocity of b minus velocity of a, x [m/s]; dvy alike.

    Returns:
        Time [s], 0 where they overlap now, inf where they never will.
    """
    enter, leave = 0.0, math.inf
    for axis in range(4):
        if axis == 0:
            ux, uy = cos_a, sin_a
        elif axis == 1:
            ux, uy = -sin_a, cos_a
        elif axis == 2:
            ux, uy = cos_b, sin_b
        else:
            ux, uy = -sin_b, cos_b
        reach = half_length_a * abs(ux * cos_a + uy * sin_a) + half_width_a * abs(uy * cos_a - ux * sin_a)
        reach += half_length_b * abs(ux * cos_b + uy * sin_b) + half_width_b * abs(uy * cos_b - ux * sin_b)
        along, rate = dx * ux + dy * uy, dvx * ux + dvy * uy
        if abs(rate) < 1e-9:
            if abs(along) >= reach:
                return math.inf
            continue
        first, second = (-reach - along) / rate, (reach - along) / rate
        enter = max(enter, min(first, second))
        leave = min(leave, max(first, second))
        if enter >= leave:
            return math.inf
    return enter


@njit(cache=True)
def _conflict_kernel(b: Boxes, vx: Float, vy: Float, agents: Bool, horizon: float) -> tuple[Float, Float]:
    num_agents, num_steps = b.x.shape
    ttc, drac = np.full(b.x.shape, math.inf), np.full(b.x.shape, -math.inf)
    radius = np.hypot(b.half_length, b.half_width)
    for i in range(num_agents):
        if not agents[i]:
            continue
        for j in range(num_agents):
            for t in range(num_steps):
                if j == i or not (b.present[i, t] and b.present[j, t]) or abs(b.z[i, t] - b.z[j, t]) > LEVEL_M:
                    continue
                dx, dy = b.x[j, t] - b.x[i, t], b.y[j, t] - b.y[i, t]
                dvx, dvy = vx[j, t] - vx[i, t], vy[j, t] - vy[i, t]
                closing = math.hypot(dvx, dvy)
                if math.hypot(dx, dy) > radius[i] + radius[j] + closing * horizon:
                    continue
                time = contact_time(
                    dx, dy, dvx, dvy,
                    b.cos[i, t], b.sin[i, t], b.half_length[i], b.half_width[i],
                    b.cos[j, t], b.sin[j, t], b.half_length[j], b.half_width[j],
                )  # fmt: skip
                if time > horizon:
                    continue
                ttc[i, t] = min(ttc[i, t], time)
                own_motion_closes = vx[i, t] * dvx + vy[i, t] * dvy < 0
                if time > 0 and own_motion_closes:
                    drac[i, t] = max(drac[i, t], 0.5 * closing / time)
    return ttc, drac


@njit(cache=True)
def _lag_kernel(b: Boxes, agents: Bool, horizon: int) -> NDArray[np.int64]:
    """Smallest number of steps between two overlapping boxes of an agent and anybody, ``[A]``; -1 for none."""
    num_agents = len(b.x)
    lag = np.full(num_agents, horizon + 1)
    radius = np.hypot(b.half_length, b.half_width)
    span = _spans(b, radius)
    for i in range(num_agents):
        for j in range(i + 1, num_agents):
            # Only a smaller lag than those already found can change the result of either.
            limit = max(lag[i] if agents[i] else 0, lag[j] if agents[j] else 0) - 1
            apart_x = span[0, i] > span[1, j] or span[0, j] > span[1, i]
            apart_y = span[2, i] > span[3, j] or span[2, j] > span[3, i]
            if limit < 0 or apart_x or apart_y:
                continue
            found = _pair_lag(b, i, j, radius, limit)
            if found >= 0:
                lag[i], lag[j] = min(lag[i], found), min(lag[j], found)
    return np.where(agents & (lag <= horizon), lag, -1)


@njit(cache=True)
def _spans(b: Boxes, radius: Float) -> Float:
    """Box around all that an agent ever covers: low x, high x, low y, high y, ``[4, A]``."""
    span = np.empty((4, len(b.x)))
    span[0], span[1], span[2], span[3] = math.inf, -math.inf, math.inf, -math.inf
    for i in range(b.x.shape[0]):
        for t in range(b.x.shape[1]):
            if b.present[i, t]:
                span[0, i] = min(span[0, i], b.x[i, t] - radius[i])
                span[1, i] = max(span[1, i], b.x[i, t] + radius[i])
                span[2, i] = min(span[2, i], b.y[i, t] - radius[i])
                span[3, i] = max(span[3, i], b.y[i, t] + radius[i])
    return span


@njit(cache=True)
def _pair_lag(b: Boxes, i: int, j: int, radius: Float, limit: int) -> int:
    """Smallest ``|t2 - t1|`` up to `limit` such that box i at t1 overlaps box j at t2; -1 for none."""
    num_steps = b.x.shape[1]
    for lag in range(limit + 1):
        for t in range(num_steps - lag):
            if _overlap(b, i, t, j, t + lag, radius) or _overlap(b, i, t + lag, j, t, radius):
                return lag
    return -1


@njit(cache=True)
def _overlap(b: Boxes, i: int, ti: int, j: int, tj: int, radius: Float) -> bool:
    if not (b.present[i, ti] and b.present[j, tj]) or abs(b.z[i, ti] - b.z[j, tj]) > LEVEL_M:
        return False
    dx, dy = b.x[j, tj] - b.x[i, ti], b.y[j, tj] - b.y[i, ti]
    if dx * dx + dy * dy > (radius[i] + radius[j]) ** 2:
        return False
    gap, _, _ = separation(
        dx, dy,
        b.cos[i, ti], b.sin[i, ti], b.half_length[i], b.half_width[i],
        b.cos[j, tj], b.sin[j, tj], b.half_length[j], b.half_width[j],
    )  # fmt: skip
    return bool(gap < 0)
