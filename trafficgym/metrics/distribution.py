"""Do simulated agents, as a crowd, drive like the logged ones? Histograms of four features and their divergence.

The same code computes the features of the log and of the simulation, over the same agent-steps: those of
measured agents at which the log is valid and the agent stands on the road.

- speed: central difference of the position over 0.2 s, m/s.
- acceleration: central difference of that speed over 0.2 s, m/s^2.
- lateral offset: signed distance of a vehicle's box centre to the nearest lane centre line, m, positive to
  the lane's left. Lanes that run within 90 degrees of the vehicle's yaw go before others; undefined where no
  centre line on the same level is within `LANE_REACH_M`.
- lead distance: bumper-to-bumper gap of a vehicle to the nearest road user ahead, m. Ahead is: yaw within
  45 degrees of one's own, centre in front, boxes overlapping sideways (in the vehicle's frame, as if both
  were aligned), on the same level, gap at most `LEAD_REACH_M`. The corridor is straight, so that
  leads around a bend are missed, in the log and in the simulation alike. Undefined without a lead.

Positions rather than recorded velocities are differentiated, because the two are not from one source in a log.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.metrics.trajectories import (
    Bool,
    Boxes,
    Float,
    Trajectories,
    boxes,
    logged,
    measured_agents,
    simulated,
)
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.pointers import floats
from trafficgym.world.road_index import (
    AX,
    AY,
    EX,
    EY,
    INV_LENGTH2,
    LANES,
    LEVEL_M,
    NUM_LANES,
    RoadIndex,
)
from trafficgym.world.road_queries import lanes_at
from trafficgym.world.rollout import Rollout
from trafficgym.world.state import DT

LANE_REACH_M = 20.0
LEAD_REACH_M = 60.0
FEATURES = ("acceleration", "speed", "lateral_offset", "lead_distance")
Feature = tuple[Float, Bool]
"""Values ``[A, T]`` and where they are defined, bool ``[A, T]``."""


@dataclass(frozen=True, kw_only=True)
class Bins:
    """`num` equal bins between `low` and `high`; values beyond fall into the outermost ones, so that none is lost."""

    low: float
    high: float
    num: int

    def __post_init__(self) -> None:
        if not (self.low < self.high and self.num >= 1):
            raise ConfigError(f"{self}: bins need low < high and num >= 1")

    @property
    def edges(self) -> Float:
        """Borders of the bins, ``[num + 1]``."""
        return np.linspace(self.low, self.high, self.num + 1)

    def count(self, values: Float) -> NDArray[np.int64]:
        """How many of `values` (any shape) fall into each bin, ``[num]``."""
        return np.histogram(np.clip(values, self.low, self.high), self.edges)[0].astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class FeatureBins:
    """Bins of each feature. Divergences compare only between equal bins."""

    acceleration: Bins = field(default=Bins(low=-6.0, high=6.0, num=60))  # m/s^2
    speed: Bins = field(default=Bins(low=0.0, high=35.0, num=70))  # m/s
    lateral_offset: Bins = field(default=Bins(low=-3.0, high=3.0, num=60))  # m
    lead_distance: Bins = field(default=Bins(low=0.0, high=LEAD_REACH_M, num=60))  # m

    def of(self, feature: str) -> Bins:
        """The bins of one of `FEATURES`."""
        bins: Bins = getattr(self, feature)
        return bins


def features(scene: Scene, motion: Trajectories, agents: Bool, index: RoadIndex) -> dict[str, Feature]:
    """The four features of some agents, by name.

    Args:
        scene: Gives the agent types.
        motion: Simulated or logged trajectories of all its tracks.
        agents: bool ``[A]``, whose features to compute; the others are only leads.
        index: The scene's road.
    """
    present = motion.present & agents[:, None]
    vehicles = present & (scene.tracks.type == AgentType.VEHICLE)[:, None]
    speed = _speed(motion, present)
    return {
        "acceleration": _central_difference(*speed),
        "speed": speed,
        "lateral_offset": _lateral_offset(motion, vehicles, index),
        "lead_distance": _lead_distance_kernel(boxes(motion), vehicles, LEAD_REACH_M),
    }


def compare_features(rollout: Rollout, agents: Bool | None = None) -> dict[str, tuple[Feature, Feature]]:
    """Simulated and logged feature, in this order, by name, masked to the agent-steps that count.

    Args:
        agents: bool ``[A]``, the agents to measure; `measured_agents` by default.
    """
    agents = measured_agents(rollout) if agents is None else agents
    sim, log = simulated(rollout), logged(rollout)
    counts = sim.present & log.present
    index = RoadIndex(rollout.scene)
    of_sim = features(rollout.scene, sim, agents, index)
    of_log = features(rollout.scene, log, agents, index)
    return {
        name: ((of_sim[name][0], of_sim[name][1] & counts), (of_log[name][0], of_log[name][1] & counts))
        for name in FEATURES
    }


def histograms(
    rollout: Rollout, agents: Bool | None = None, bins: FeatureBins | None = None
) -> dict[str, NDArray[np.int64]]:
    """Counts of each feature by name, ``[2, bins]``: simulated, logged. They add up over rollouts and scenes."""
    bins = bins or FeatureBins()
    return {
        name: np.stack([bins.of(name).count(values[valid]) for values, valid in pair])
        for name, pair in compare_features(rollout, agents).items()
    }


def jensen_shannon(p: NDArray, q: NDArray) -> Float:
    """Jensen-Shannon divergence between histograms along the last axis, nats in [0, ln 2].

    Args:
        p: Counts, ``[..., bins]``; they need not be normalised.
        q: Counts of the other side, the same shape.

    Returns:
        ``[...]``; NaN where either side has no count at all.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p = p / p.sum(axis=-1, keepdims=True)
        q = q / q.sum(axis=-1, keepdims=True)
    mean = 0.5 * (p + q)
    divergence: Float = np.maximum(_entropy(mean) - 0.5 * (_entropy(p) + _entropy(q)), 0.0)
    return divergence


def _entropy(p: NDArray) -> NDArray:
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)


def _speed(motion: Trajectories, present: Bool) -> Feature:
    dx, valid = _central_difference(motion.x, present)
    dy, _ = _central_difference(motion.y, present)
    return np.hypot(dx, dy), valid


def _central_difference(values: Float, valid: Bool) -> Feature:
    """Rate of change over the step before and the step after, and where all three steps are valid."""
    rate, known = np.zeros(values.shape), np.zeros(valid.shape, bool)
    known[:, 1:-1] = valid[:, :-2] & valid[:, 1:-1] & valid[:, 2:]
    rate[:, 1:-1] = (values[:, 2:] - values[:, :-2]) / (2 * DT)
    return np.where(known, rate, 0.0), known


def _lateral_offset(motion: Trajectories, wanted: Bool, index: RoadIndex) -> Feature:
    ground = motion.z - 0.5 * motion.height[:, None]
    states = np.stack([motion.x, motion.y, ground, motion.yaw]).astype(np.float32)
    return _lateral_offset_kernel(states, wanted, index.row, np.float32(LANE_REACH_M))


@njit(cache=True)
def _lateral_offset_kernel(
    states: NDArray[np.float32], wanted: Bool, row: NDArray[np.int64], reach: np.float32
) -> Feature:
    offset, known = np.zeros(wanted.shape), np.zeros(wanted.shape, np.bool_)
    if row[NUM_LANES] == 0:
        return offset, known
    lanes = floats(row[LANES], (row[NUM_LANES], 8))
    for agent in range(wanted.shape[0]):
        for step in range(wanted.shape[1]):
            if not wanted[agent, step]:
                continue
            x, y, z, yaw = states[:, agent, step]
            i, _, _ = lanes_at(x, y, z, np.cos(yaw), np.sin(yaw), reach, row)
            if i < 0:
                continue
            rx, ry = x - lanes[i, AX], y - lanes[i, AY]
            t = min(max((rx * lanes[i, EX] + ry * lanes[i, EY]) * lanes[i, INV_LENGTH2], np.float32(0)), np.float32(1))
            far = math.hypot(rx - t * lanes[i, EX], ry - t * lanes[i, EY])
            offset[agent, step] = math.copysign(far, lanes[i, EX] * ry - lanes[i, EY] * rx)
            known[agent, step] = True
    return offset, known


@njit(cache=True)
def _lead_distance_kernel(b: Boxes, wanted: Bool, reach: float) -> Feature:
    gap, known = np.zeros(wanted.shape), np.zeros(wanted.shape, np.bool_)
    for step in range(wanted.shape[1]):
        for i in range(wanted.shape[0]):
            if not wanted[i, step]:
                continue
            best = math.inf
            for j in range(wanted.shape[0]):
                if j != i and b.present[j, step]:
                    best = min(best, _gap_ahead(b, i, j, step))
            if best <= reach:
                gap[i, step], known[i, step] = best, True
    return gap, known


@njit(cache=True)
def _gap_ahead(b: Boxes, i: int, j: int, t: int) -> float:
    """Bumper-to-bumper gap from i to j, inf where j is not ahead of i (see the top of this file)."""
    cos, sin = b.cos[i, t], b.sin[i, t]
    dx, dy = b.x[j, t] - b.x[i, t], b.y[j, t] - b.y[i, t]
    ahead, aside = dx * cos + dy * sin, dy * cos - dx * sin
    if ahead <= 0 or abs(aside) >= b.half_width[i] + b.half_width[j] or abs(b.z[j, t] - b.z[i, t]) > LEVEL_M:
        return math.inf
    if b.cos[j, t] * cos + b.sin[j, t] * sin < math.sqrt(0.5):
        return math.inf
    return max(ahead - b.half_length[i] - b.half_length[j], 0.0)
