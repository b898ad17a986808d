"""Hidden traits of road users, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym.scene.scene import AgentType
from trafficgym_scenarios.nominal import columns as c

Array = NDArray[np.float64]


def _column(column: int, doc: str) -> property:
    def read(self: Drivers) -> Array:
        return self.table[:, column]

    return property(read, doc=doc)


@dataclass(frozen=True, eq=False)
class Drivers:
    """Who the ``N`` road users of a scene are: what no log shows.

    Attributes:
        table: float64 ``[N, NUM_TRAITS]``; the properties are its columns, ``[N]``.
    """

    table: Array

    kind = _column(c.KIND, "`AgentType`.")
    length = _column(c.LENGTH, "m")
    width = _column(c.WIDTH, "m")
    height = _column(c.HEIGHT, "m")
    speed_factor = _column(c.SPEED_FACTOR, "Desired speed over what limit and curves allow.")
    top_speed = _column(c.TOP_SPEED, "m/s that it never exceeds.")
    headway = _column(c.HEADWAY, "Desired time gap [s].")
    acceleration = _column(c.MAX_ACCELERATION, "m/s^2")
    braking = _column(c.BRAKING, "Comfortable braking [m/s^2].")
    standstill_gap = _column(c.STANDSTILL_GAP, "m")
    politeness = _column(c.POLITENESS, "Of MOBIL: what the gain of others is worth.")
    threshold = _column(c.THRESHOLD, "Of MOBIL [m/s^2].")
    safe_braking = _column(c.SAFE_BRAKING, "What a lane change may ask of others [m/s^2].")
    lag = _column(c.LAG, "Reaction lag in steps of 0.1 s.")
    noise = _column(c.NOISE_STD, "Standard deviation of its acceleration about what the law says [m/s^2].")
    wander = _column(c.WANDER_STD, "Standard deviation of its lateral noise, before smoothing [m].")
    side = _column(c.SIDE, "Where in the lane it likes to be, m to the left.")
    gap_margin = _column(c.GAP_MARGIN, "Spare time when it takes a gap [s]; pedestrians: how long they wait at first.")
    change_time = _column(c.CHANGE_TIME, "How long a lane change takes [s].")

    def __len__(self) -> int:
        return len(self.table)


def sample_vehicle(rng: Generator, *, freeway: bool, truck: bool, lane: int = 0) -> Array:
    """Traits of a car or truck, ``[NUM_TRAITS]``; `lane` counts from the right: drivers on the left are in a hurry."""
    row = np.zeros(c.NUM_TRAITS)
    row[c.KIND] = AgentType.VEHICLE
    if truck:
        row[c.LENGTH] = rng.uniform(8.0, 16.0) if freeway else rng.uniform(6.0, 8.0)
        row[c.WIDTH] = 2.5 if freeway else rng.uniform(2.2, 2.4)
        row[c.HEIGHT] = rng.uniform(2.8, 3.8)
    else:
        row[c.LENGTH] = np.clip(rng.normal(4.7, 0.35), 3.8, 5.5)
        row[c.WIDTH] = np.clip(rng.normal(1.92, 0.08), 1.7, 2.1)
        row[c.HEIGHT] = rng.uniform(1.4, 1.9)
    keenness = rng.normal(1.0 if freeway else 0.95, 0.08) + (0.03 * lane if freeway else 0.0)
    row[c.SPEED_FACTOR] = np.clip(keenness - 0.12 * truck, 0.75, 1.2)
    row[c.TOP_SPEED] = 100.0
    row[c.HEADWAY] = np.clip(np.exp(rng.normal(np.log(1.15), 0.3)), 0.6, 2.6) + 0.3 * truck
    row[c.MAX_ACCELERATION] = rng.uniform(0.7, 1.1) if truck else rng.uniform(1.2, 2.6)
    row[c.BRAKING] = rng.uniform(1.5, 2.8)
    row[c.STANDSTILL_GAP] = rng.uniform(1.5, 3.0)
    row[c.POLITENESS] = rng.uniform(0.0, 0.5)
    row[c.THRESHOLD] = rng.uniform(0.1, 0.4) + 0.2 * truck
    row[c.SAFE_BRAKING] = rng.uniform(1.5, 3.5)
    row[c.LAG] = rng.integers(1, c.MAX_LAG)
    row[c.NOISE_STD] = rng.uniform(0.1, 0.35) * (0.6 if truck else 1.0)
    row[c.WANDER_STD] = rng.uniform(0.06, 0.16) * (0.6 if truck else 1.0)
    row[c.SIDE] = np.clip(rng.normal(0.0, 0.08), -0.16, 0.16)
    row[c.GAP_MARGIN] = rng.uniform(0.8, 2.0)
    row[c.CHANGE_TIME] = rng.uniform(3.5, 6.0)
    return row


def sample_cyclist(rng: Generator, lane_width: float) -> Array:
    """Traits of a cyclist, who keeps to the right of a lane."""
    row = sample_vehicle(rng, freeway=False, truck=False)
    row[c.KIND] = AgentType.CYCLIST
    row[c.LENGTH], row[c.WIDTH], row[c.HEIGHT] = rng.uniform(1.6, 1.9), rng.uniform(0.55, 0.7), rng.uniform(1.6, 1.85)
    row[c.SPEED_FACTOR], row[c.TOP_SPEED] = 0.85, rng.uniform(3.5, 6.5)
    row[c.MAX_ACCELERATION] = rng.uniform(0.7, 1.1)
    row[c.SIDE] = -max(lane_width / 2 - rng.uniform(0.6, 0.9), 0.0)
    return row


def sample_pedestrian(rng: Generator) -> Array:
    """Traits of a pedestrian."""
    row = np.zeros(c.NUM_TRAITS)
    row[c.KIND] = AgentType.PEDESTRIAN
    row[c.LENGTH], row[c.WIDTH], row[c.HEIGHT] = rng.uniform(0.5, 0.8), rng.uniform(0.5, 0.8), rng.uniform(1.5, 1.9)
    row[c.SPEED_FACTOR], row[c.TOP_SPEED] = 1.0, np.clip(rng.normal(1.4, 0.2), 0.8, 2.0)
    row[c.MAX_ACCELERATION] = 1.5
    row[c.NOISE_STD], row[c.WANDER_STD] = rng.uniform(0.05, 0.15), rng.uniform(0.03, 0.08)
    row[c.GAP_MARGIN] = rng.uniform(0.5, 6.0)
    row[[c.HEADWAY, c.BRAKING, c.STANDSTILL_GAP, c.CHANGE_TIME]] = 1.0
    return row
