"""What agents did in continuous motion, on the log and in rollouts: what a trajectory policy learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from trafficgym_agents.policies.smart.batch import AgentBatch, Batch
from trafficgym_agents.policies.smart.config import STEPS_PER_TOKEN
from trafficgym_agents.policies.smart.targets import tokens_towards
from trafficgym_agents.policies.trajectory.poses import own_velocity, seen_from

if TYPE_CHECKING:
    from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork

Tensor = Any


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanBatch(Batch):
    """Scenes whose agents are where they truly went; their tokens are those that lead nearest there, slot by slot."""

    velocity: Tensor  # float32 (N, Q, 3), at the end of each slot, in the agent's frame; see `log_velocity`
    plan: Tensor  # float32 (N, Q, S, 3): decided for the time from the beginning of each slot on; see `plans`
    known: Tensor  # int64 (N, Q): half seconds that the plan is known for


def on_log(network: TrajectoryNetwork, batch: Batch) -> PlanBatch:
    """Scenes with their agents on their logs, where a token batch has them where tokens led.

    The plans are those that come nearest to the log (`PlanSpace.fit`).
    """
    agents = batch.agents
    start, end = agents.path[:, :-1:STEPS_PER_TOKEN], agents.path[:, STEPS_PER_TOKEN::STEPS_PER_TOKEN]
    agent, slot = torch.nonzero(agents.valid, as_tuple=True)
    token = torch.zeros_like(agents.token)
    way = seen_from(start[agent, slot], end[agent, slot, None])[:, 0]
    token[agent, slot] = tokens_towards(network.trunk, agents.type[agent], way)
    moved = agents.moved(token, agents.raw_xy, agents.raw_yaw, agents.valid)
    velocity = log_velocity(agents)
    plan, known = _fitted(network, moved, velocity)
    return PlanBatch(scene_ids=batch.scene_ids, map=batch.map, agents=moved, velocity=velocity, plan=plan, known=known)


def log_velocity(agents: AgentBatch) -> Tensor:
    """Velocity at the end of each slot in the agent's frame: ahead, to the left, yaw rate, m/s, m/s, rad/s.

    Positions are those of the last 0.1 s, or of the whole slot where that is not known; headings, which are noisier and
    turn at one rate for half a second in plans, those of the whole slot.

    Returns:
        float32 ``[N, Q, 3]``; 0 where the slot is not valid.
    """
    ends = slice(STEPS_PER_TOKEN, None, STEPS_PER_TOKEN)
    before, end = agents.path[:, STEPS_PER_TOKEN - 1 :: STEPS_PER_TOKEN], agents.path[:, ends]
    is_known = agents.path_valid[:, STEPS_PER_TOKEN - 1 :: STEPS_PER_TOKEN]
    slower = end - (end - agents.path[:, :-1:STEPS_PER_TOKEN]) / STEPS_PER_TOKEN
    before = torch.cat([torch.where(is_known[..., None], before, slower)[..., :2], slower[..., 2:]], -1)
    return torch.where(agents.valid[..., None], own_velocity(before, end), 0.0)


def log_ahead(agents: AgentBatch, agent: Tensor, slot: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
    """The log at the end of a slot and from then on, in the frame of where the agent is then.

    Args:
        agents: Where they are, and their logs.
        agent: Of each node, int64 ``[n]``.
        slot: Of each node, ``[n]``.
        horizon: H.

    Returns:
        Poses at once and after 0.1 s, 0.2 s ..., ``[n, H + 1, 3]`` m, m, rad, and how many steps of 0.1 s the log is
        there for without a gap, int64 ``[n]``.
    """
    steps = STEPS_PER_TOKEN * (slot[:, None] + 1) + torch.arange(horizon + 1, device=slot.device)
    last = agents.path.shape[1] - 1
    cell = agent[:, None], steps.clamp(max=last)
    there = (agents.path_valid[cell] & (steps <= last)).long().cumprod(-1)
    pose = torch.cat([agents.xy[agent, slot], agents.yaw[agent, slot, None]], -1)
    return seen_from(pose, agents.path[cell]), there[:, 1:].sum(-1)


def log_plans(
    network: TrajectoryNetwork, agents: AgentBatch, agent: Tensor, slot: Tensor, velocity: Tensor
) -> tuple[Tensor, Tensor]:
    """The plans that come nearest to the log, from where agents are: what to learn to return to it.

    Who is not on the log returns to it steadily over the horizon: where the log will be after k of H steps, less
    ``1 - k / H`` of how far away it is now. Plans that had to be there at once would be full throttle and brake.

    Args:
        network: Whose plans.
        agents: Where they are, and their logs.
        agent: Of each node, int64 ``[n]``.
        slot: That has just ended, ``[n]``.
        velocity: In the agent's frame, ``[n, 3]``.

    Returns:
        Plans ``[n, S, 3]``, and half seconds that they are known for, int64 ``[n]``.
    """
    horizon = network.space.horizon
    log, there = log_ahead(agents, agent, slot, horizon)
    left = 1 - torch.arange(1, horizon + 1, device=log.device) / horizon
    known = there // STEPS_PER_TOKEN
    return network.space.fit(log[:, 1:] - left[:, None] * log[:, :1], velocity, known), known


def _fitted(network: TrajectoryNetwork, agents: AgentBatch, velocity: Tensor) -> tuple[Tensor, Tensor]:
    """`log_plans` of all slots that follow on a valid one, ``[N, Q, S, 3]`` and ``[N, Q]``."""
    agent, slot = torch.nonzero(agents.valid[:, :-1], as_tuple=True)
    plan = velocity.new_zeros((*velocity.shape[:2], network.space.segments, 3))
    known = torch.zeros_like(agents.token)
    plan[agent, slot + 1], known[agent, slot + 1] = log_plans(network, agents, agent, slot, velocity[agent, slot])
    return plan, known
