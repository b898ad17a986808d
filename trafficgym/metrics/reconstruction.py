"""How far a rollout ends up from the log: ADE, minADE, FDE, and the error along and across the logged path.

A step counts for an agent where the log is valid *and* the agent still stands on the road, the common
practice (Waymax does the same); the first column is left out, because there both are equal by construction.
Steps after an agent was taken off the road therefore do not count: a policy whose agents are removed when
they crash is judged on the steps before, which flatters it. Evaluate with infractions ignored, as
`trafficgym evaluate` does, and no agent is ever removed. An agent without any counting step has no value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from trafficgym.errors import ConfigError
from trafficgym.metrics.trajectories import Bool, Float, Masked, logged, measured_agents, simulated
from trafficgym.world.rollout import Rollout
from trafficgym.world.state import DT

PATH_POINT_M = 0.5
"""Points of a logged path are at least this far apart, so that a standing car's jitter gives no direction."""


def displacement(rollout: Rollout) -> tuple[Float, Bool]:
    """Distance in the plane between simulated and logged box centres, m ``[A, T]``, and where it counts."""
    sim, log = simulated(rollout), logged(rollout)
    valid = sim.present & log.present
    valid[:, 0] = False
    return np.where(valid, np.hypot(sim.x - log.x, sim.y - log.y), 0.0), valid


def ade(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Average displacement error: mean over the counting steps, m ``[A]`` and mask.

    Args:
        agents: bool ``[A]``, the agents to measure; `measured_agents` by default.
    """
    return _mean_over_steps(*displacement(rollout), _chosen(rollout, agents))


def min_ade(rollouts: Sequence[Rollout], agents: Bool | None = None) -> Masked:
    """ADE of that one of several rollouts of a scene whose mean over agents is smallest, m ``[A]`` and mask.

    This is the joint minADE of the Waymo sim agents challenge: all agents from the same rollout, not the
    best of each.

    Raises:
        ConfigError: there is no rollout, or they are of different scenes.
    """
    if len({rollout.scene.id for rollout in rollouts}) != 1:
        raise ConfigError("minADE is over one or more rollouts of one scene")
    errors = [ade(rollout, agents) for rollout in rollouts]
    return min(errors, key=lambda error: math.inf if error.mean is None else error.mean)


def fde(rollout: Rollout, agents: Bool | None = None, *, after_s: float = 5.0) -> Masked:
    """Final displacement error: the displacement `after_s` seconds after the start, m ``[A]`` and mask.

    An agent whose log is not valid at that very step has no value; nor has any, where the rollout is shorter.
    """
    error, valid = displacement(rollout)
    step = round(after_s / DT)
    agents = _chosen(rollout, agents)
    if not 0 < step < rollout.num_steps:
        return Masked(np.zeros(rollout.num_agents), np.zeros(rollout.num_agents, bool))
    return _masked(error[:, step], valid[:, step] & agents)


def ate(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Along-track error: mean over the counting steps of the absolute error along the logged path, m ``[A]`` and mask.

    See `path_errors`: driving the right path at the wrong time is along-track error only.
    """
    along, _, valid = path_errors(rollout)
    return _mean_over_steps(np.abs(along), valid, _chosen(rollout, agents))


def cte(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Cross-track error: mean over the counting steps of the distance to the logged path, m ``[A]`` and mask."""
    _, across, valid = path_errors(rollout)
    return _mean_over_steps(np.abs(across), valid, _chosen(rollout, agents))


def path_errors(rollout: Rollout) -> tuple[Float, Float, Bool]:
    """The displacement in the coordinates of the logged path.

    The path of an agent is the polyline through its logged positions, the whole record of the scene,
    thinned to points at least `PATH_POINT_M` apart and extended straight at both ends. Simulated and logged
    position are both projected on their nearest point of it. An agent that never moves that far has the
    line through its position along its logged yaw as its path.

    Returns:
        along: Arc length of the simulated position minus that of the logged one, m ``[A, T]``.
        across: Distance of the simulated position to the path, positive to its left, m ``[A, T]``.
        valid: Where they count, bool ``[A, T]``.
    """
    _, valid = displacement(rollout)
    sim, log = simulated(rollout), logged(rollout)
    along, across = np.zeros(valid.shape), np.zeros(valid.shape)
    tracks = rollout.scene.tracks
    for agent in np.flatnonzero(valid.any(axis=1)):
        steps = np.flatnonzero(valid[agent])
        seen = tracks.valid[agent]
        record = np.stack([tracks.x[agent, seen], tracks.y[agent, seen]], axis=1).astype(np.float64)
        path = _path(record, float(tracks.yaw[agent, seen][0]))
        s_log, _ = _project(log.x[agent, steps], log.y[agent, steps], path)
        s_sim, across[agent, steps] = _project(sim.x[agent, steps], sim.y[agent, steps], path)
        along[agent, steps] = s_sim - s_log
    return along, across, valid


def _chosen(rollout: Rollout, agents: Bool | None) -> Bool:
    return measured_agents(rollout) if agents is None else agents


def _mean_over_steps(values: Float, valid: Bool, agents: Bool) -> Masked:
    count = valid.sum(axis=1)
    return _masked(np.sum(values, axis=1, where=valid) / np.maximum(count, 1), agents & (count > 0))


def _masked(values: Float, valid: Bool) -> Masked:
    return Masked(np.where(valid, values, 0.0), valid)


@njit(cache=True)
def _path(record: Float, yaw: float) -> Float:
    """Thin ``[n, 2]`` positions; make a line along `yaw` of those that never leave their first point."""
    keep = np.empty((len(record) + 1, 2))
    keep[0] = record[0]
    num = 1
    for i in range(1, len(record)):
        if math.hypot(record[i, 0] - keep[num - 1, 0], record[i, 1] - keep[num - 1, 1]) >= PATH_POINT_M:
            keep[num] = record[i]
            num += 1
    if num == 1:
        keep[1, 0], keep[1, 1] = record[0, 0] + math.cos(yaw), record[0, 1] + math.sin(yaw)
        num = 2
    return keep[:num].copy()


@njit(cache=True)
def _project(x: Float, y: Float, path: Float) -> tuple[Float, Float]:
    """Arc length of, and signed distance to, the nearest point of a path that goes on straight at both ends."""
    arc, across = np.empty(len(x)), np.empty(len(x))
    last = len(path) - 2
    for i in range(len(x)):
        best, start = math.inf, 0.0
        for k in range(last + 1):
            ex, ey = path[k + 1, 0] - path[k, 0], path[k + 1, 1] - path[k, 1]
            length = math.hypot(ex, ey)
            rx, ry = x[i] - path[k, 0], y[i] - path[k, 1]
            s = (rx * ex + ry * ey) / length
            if k > 0:
                s = max(s, 0.0)
            if k < last:
                s = min(s, length)
            far = math.hypot(rx - s * ex / length, ry - s * ey / length)
            if far < best:
                best = far
                arc[i] = start + s
                across[i] = math.copysign(far, ex * ry - ey * rx)
            start += length
    return arc, across
