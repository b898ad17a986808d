"""Nominal traffic on one carriageway: drivers who follow, keep their distance and sometimes change lane.

Longitudinally each driver is an intelligent driver model (Treiber, Hennecke and Helbing 2000, eqs. 3 and 4) with
wishes of its own and a little noise; laterally a lane change is one quintic of given duration, begun only where the
gaps ahead and behind in the new lane allow it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym_scenarios.course import Carriageway

Array = NDArray[np.floating]

DT = 0.1  # s
ACCELERATION = 1.4  # m/s^2
COMFORTABLE_BRAKING = 2.0  # m/s^2
HARDEST_BRAKING = 6.0  # m/s^2
STANDSTILL_GAP = 2.5  # m
NOISE = 0.25  # m/s^2, standard deviation of a driver's acceleration
NOISE_MEMORY = 0.95  # correlation of that noise from one step to the next: about 2 s
CHANGE_PROBABILITY = 0.35  # that a driver wishes to change lane once
CHANGE_ABOVE = 10.0  # m/s, slower drivers stay in their lane, since they would have to turn sharply


@dataclass(kw_only=True)
class Drivers:
    """``N`` vehicles and what their drivers want."""

    s: Array  # (N,) m along the course, at the first step
    speed: Array  # (N,) m/s along the course, at the first step
    lane: NDArray[np.int64]  # (N,) at the first step
    length: Array  # (N,) m
    width: Array  # (N,) m
    height: Array  # (N,) m
    desired_speed: Array  # (N,) m/s
    headway: Array  # (N,) s
    change_step: NDArray[np.int64]  # (N,) earliest step at which the driver changes lane, -1 for never
    change_side: NDArray[np.int64]  # (N,) 1 to the left, -1 to the right
    change_steps: NDArray[np.int64]  # (N,) duration of a change, in steps


@dataclass(kw_only=True)
class Motion:
    """Where everything was, ``(N, T)`` each, along the course."""

    s: Array  # m
    d: Array  # m, to the left of the reference line
    speed: Array  # m/s along the lane
    sideways: Array  # m/s to the left


def sample_drivers(road: Carriageway, stretch: tuple[float, float], num: int, steps: int, rng: Generator) -> Drivers:
    """Place up to `num` vehicles over ``stretch`` (m along the course), each a safe time behind the next."""
    lane, s, length, is_truck = _place(road, stretch, rng)
    kept = np.sort(rng.permutation(len(s))[:num])
    lane, s, length, is_truck = lane[kept], s[kept], length[kept], is_truck[kept]
    count = len(kept)
    keenness = rng.normal(0.95, 0.08, count) + 0.04 * lane  # drivers on the left are in more of a hurry
    desired = road.speed_limit * np.clip(np.where(is_truck, keenness - 0.15, keenness), 0.65, 1.15)
    wishes = (rng.random(count) < CHANGE_PROBABILITY) & ~is_truck
    return Drivers(
        s=s,
        speed=np.minimum(desired, road.speed_limit) * rng.uniform(0.9, 1.0, count),
        lane=lane,
        length=length,
        width=np.where(is_truck, 2.5, rng.uniform(1.8, 2.1, count)),
        height=np.where(is_truck, rng.uniform(2.8, 3.8, count), rng.uniform(1.4, 1.9, count)),
        desired_speed=desired,
        headway=rng.uniform(1.0, 2.0, count),
        change_step=np.where(wishes, rng.integers(0, steps, count), -1),
        change_side=rng.choice([-1, 1], count),
        change_steps=rng.integers(30, 51, count),
    )


def _place(
    road: Carriageway, stretch: tuple[float, float], rng: Generator
) -> tuple[NDArray[np.int64], Array, Array, NDArray[np.bool_]]:
    lane, s, length, truck = [], [], [], []
    for index in range(road.num_lanes):
        rear = stretch[0] + rng.uniform(0.0, 25.0)  # of the next vehicle
        while True:
            is_truck = rng.random() < (0.2 if index == 0 else 0.05)
            long = rng.uniform(8.0, 14.0) if is_truck else rng.uniform(4.2, 5.2)
            if rear + long > stretch[1]:
                break
            lane.append(index)
            s.append(rear + long / 2)
            length.append(long)
            truck.append(is_truck)
            rear += long + STANDSTILL_GAP + rng.uniform(0.8, 1.9) * road.speed_limit
    return np.array(lane), np.array(s), np.array(length), np.array(truck)


def drive(drivers: Drivers, road: Carriageway, steps: int, rng: Generator) -> Motion:
    """Let the drivers drive for `steps` steps of 0.1 s; the first column is where they start."""
    count = len(drivers.s)
    s, speed, noise = drivers.s.copy(), drivers.speed.copy(), np.zeros(count)
    changes = _LaneChanges(drivers, road)
    motion = Motion(**{name: np.zeros((count, steps)) for name in ("s", "d", "speed", "sideways")})
    for step in range(steps):
        d, sideways = changes.lateral(step)
        motion.s[:, step], motion.d[:, step] = s, d
        motion.speed[:, step], motion.sideways[:, step] = speed, sideways
        changes.begin(step, s, speed)
        noise = NOISE_MEMORY * noise + NOISE * np.sqrt(1 - NOISE_MEMORY**2) * rng.normal(size=count)
        gap, closing = nearest_ahead(s, speed, drivers.length, changes.occupied @ changes.occupied.T)
        a = idm(speed, gap, closing, drivers.desired_speed, drivers.headway) + noise
        a = np.clip(a, np.maximum(-HARDEST_BRAKING, -speed / DT), ACCELERATION)
        along = speed / (1.0 - road.course.curvature(s) * d)  # outside of a bend the same way is longer
        s, speed = s + along * DT + 0.5 * a * DT**2, speed + a * DT
    return motion


def idm(speed: Array, gap: Array, closing: Array, desired_speed: Array, headway: Array) -> Array:
    """Acceleration in m/s^2 of the intelligent driver model.

    Args:
        gap: bumper to bumper, m, infinite on a free road.
        closing: own speed minus that of the vehicle ahead, m/s.
        headway: desired time gap, s.
    """
    braking_term = speed * closing / (2 * np.sqrt(ACCELERATION * COMFORTABLE_BRAKING))
    wanted = STANDSTILL_GAP + np.maximum(0.0, speed * headway + braking_term)
    free = 1.0 - (speed / desired_speed) ** 4
    return ACCELERATION * (free - (wanted / np.maximum(gap, 0.1)) ** 2)


def nearest_ahead(s: Array, speed: Array, length: Array, shares_lane: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Gap (m, infinite where free) to the nearest vehicle ahead in a shared lane, and the speed of closing in on it."""
    ahead = s[None, :] - s[:, None]
    gaps = np.where(shares_lane & (ahead > 0), ahead - (length[None, :] + length[:, None]) / 2, np.inf)
    leader = gaps.argmin(axis=1)
    gap = gaps[np.arange(len(s)), leader]
    closing: Array = np.where(np.isfinite(gap), speed - speed[leader], 0.0)
    return gap, closing


class _LaneChanges:
    """Who is in which lane; a vehicle that changes occupies both lanes until it is through."""

    def __init__(self, drivers: Drivers, road: Carriageway) -> None:
        self.drivers = drivers
        self.road = road
        self.source = drivers.lane.copy()
        self.target = drivers.lane.copy()
        self.start = np.zeros(len(drivers.s), np.int64)  # step at which the change began
        self.waiting = drivers.change_step >= 0
        self.occupied = np.eye(road.num_lanes, dtype=bool)[drivers.lane]  # (N, lanes)

    def lateral(self, step: int) -> tuple[Array, Array]:
        """Offset to the left (m) and its rate (m/s) of every vehicle at `step`."""
        duration = self.drivers.change_steps
        u = np.clip((step - self.start) / duration, 0.0, 1.0)
        done = (u >= 1.0) & (self.source != self.target)
        if done.any():
            self.source[done] = self.target[done]
            self.occupied[done] = np.eye(self.road.num_lanes, dtype=bool)[self.target[done]]
        way = (self.target - self.source) * self.road.lane_width
        smooth = u**3 * (10 - 15 * u + 6 * u**2)
        rate = 30 * u**2 * (1 - u) ** 2 / (duration * DT)
        return self.road.lane_offset(self.source) + way * smooth, way * rate

    def begin(self, step: int, s: Array, speed: Array) -> None:
        """Start the changes that are due and safe; a driver without a gap keeps waiting for one."""
        for i in np.flatnonzero(self.waiting & (self.drivers.change_step <= step) & (speed > CHANGE_ABOVE)):
            lane = self.source[i] + self.drivers.change_side[i]
            if not 0 <= lane < self.road.num_lanes:
                self.waiting[i] = False
            elif self._has_room(int(i), int(lane), s, speed):
                self.waiting[i] = False
                self.target[i], self.start[i] = lane, step
                self.occupied[i, lane] = True

    def _has_room(self, i: int, lane: int, s: Array, speed: Array) -> bool:
        """Whether nobody, neither `i` nor who would follow it, had to brake harder than is comfortable."""
        drivers = self.drivers
        gap = np.abs(s - s[i]) - (drivers.length + drivers.length[i]) / 2
        i_follows = s > s[i]
        follower = np.where(i_follows, i, np.arange(len(s)))
        closing = np.where(i_follows, speed[i] - speed, speed - speed[i])
        a = idm(speed[follower], gap, closing, drivers.desired_speed[follower], drivers.headway[follower])
        return not (self.occupied[:, lane] & ((gap <= 0) | (a < -COMFORTABLE_BRAKING))).any()
