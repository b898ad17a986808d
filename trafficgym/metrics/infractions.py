"""Infractions and goals: the share of agents to which it happens at any time of a rollout.

An agent is one of `measured_agents`. "At any time" includes the first state: two boxes that overlap in the
log before anybody has acted count for every policy alike, the log included. What counts as each event is
decided by the world (`trafficgym.world.events`), not here.
"""

from __future__ import annotations

import numpy as np

from trafficgym.metrics.trajectories import Bool, Masked, measured_agents
from trafficgym.scene.scene import AgentType
from trafficgym.world.events import Event
from trafficgym.world.rollout import Rollout


def ever(rollout: Rollout, event: Event, agents: Bool | None = None) -> Masked:
    """Whether any bit of `event` holds at any step, per agent.

    Args:
        agents: bool ``[A]``, the agents to measure; `measured_agents` by default.

    Returns:
        bool ``[A]`` and its mask; its `mean` is the rate.
    """
    agents = measured_agents(rollout) if agents is None else agents
    held = ((rollout.state & int(event)) != 0) & rollout.present
    return Masked(held.any(axis=1) & agents, agents)


def collision(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Whether the agent's box overlaps another road user's at any step, bool ``[A]`` and mask."""
    return ever(rollout, Event.COLLISION, agents)


def at_fault_collision(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Whether the agent is in a collision that is its own fault at any step, bool ``[A]`` and mask."""
    agents = measured_agents(rollout) if agents is None else agents
    collides = (rollout.state & int(Event.COLLISION)) != 0
    at_fault = rollout.at_fault & collides & rollout.present
    return Masked(at_fault.any(axis=1) & agents, agents)


def off_road(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Whether the agent leaves the road at any step, bool ``[A]`` and mask; undefined without road edges.

    Measured are vehicles and cyclists that start on the road: recordings have cars parked off the mapped road.
    """
    agents = _drivers(rollout, agents) & ((rollout.state[:, 0] & int(Event.OFF_ROAD)) == 0)
    return _if_known(ever(rollout, Event.OFF_ROAD, agents), bool(rollout.scene.road.is_edge.any()))


def wrong_way(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Whether the agent drives against its lane at any step, bool ``[A]`` and mask; undefined without lanes."""
    return _if_known(ever(rollout, Event.WRONG_WAY, _drivers(rollout, agents)), bool(rollout.scene.road.is_lane.any()))


def red_light(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Whether the agent runs a red light at any step, bool ``[A]`` and mask; undefined without signals."""
    return _if_known(ever(rollout, Event.RED_LIGHT, _drivers(rollout, agents)), rollout.scene.signals.num_signals > 0)


def infeasible(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Whether the agent moves as no road user of its kind can at any step, bool ``[A]`` and mask."""
    return ever(rollout, Event.INFEASIBLE, _drivers(rollout, agents))


def goal(rollout: Rollout, agents: Bool | None = None) -> Masked:
    """Whether the agent reaches its goal at any step, bool ``[A]`` and mask."""
    return ever(rollout, Event.GOAL, agents)


def first_step(rollout: Rollout, event: Event) -> Masked:
    """First column at which any bit of `event` holds, int ``[A]``, and whether there is one, bool ``[A]``."""
    held = ((rollout.state & int(event)) != 0) & rollout.present
    return Masked(held.argmax(axis=1), held.any(axis=1))


def _drivers(rollout: Rollout, agents: Bool | None) -> Bool:
    """Those of the agents to measure whom the rules of the road hold for: vehicles and cyclists."""
    agents = measured_agents(rollout) if agents is None else agents
    return agents & np.isin(rollout.scene.tracks.type, [AgentType.VEHICLE, AgentType.CYCLIST])


def _if_known(masked: Masked, known: bool) -> Masked:
    return masked if known else Masked(np.zeros_like(masked.value), np.zeros_like(masked.valid))


__all__ = [
    "at_fault_collision",
    "collision",
    "ever",
    "first_step",
    "goal",
    "infeasible",
    "off_road",
    "red_light",
    "wrong_way",
]
