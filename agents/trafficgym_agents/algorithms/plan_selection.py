"""Which of the plans that a policy draws is executed: the one that leads nearest to the log."""

from __future__ import annotations

from typing import Any

import torch

from trafficgym_agents.algorithms.recovery import Recovery
from trafficgym_agents.policies.smart.config import STEPS_PER_TOKEN
from trafficgym_agents.policies.trajectory.decoding import PlanDecision
from trafficgym_agents.policies.trajectory.distance import distances
from trafficgym_agents.policies.trajectory.states import log_ahead

Tensor = Any


def select_plans(
    decision: PlanDecision, offered: Tensor, weights: tuple[float, ...], recovery: Recovery | None = None
) -> Tensor:
    """Select plans and, where they lead too far away, blend them with the log.

    A blend is executed as the plan that comes nearest to it, so that what is executed can be learned. Half seconds
    that the log does not cover stay as they were planned.

    Args:
        decision: Whose.
        offered: K plans of each agent, ``[N, K, S, 3]``.
        weights: Of steps, in the distance to the log (`distance.distances`).
        recovery: None: off.

    Returns:
        ``[N, S, 3]``: the nearest or, where there is no log, the first.

    Raises:
        ConfigError: there are weights for more steps than are planned.
    """
    every = torch.arange(len(offered), device=offered.device)
    trajectories = decision.trajectories(offered)
    log, there = log_ahead(decision.agents, every, torch.full_like(every, decision.slot - 1), trajectories.shape[2])
    log = log[:, 1:]
    away, is_guided = distances(decision.agents.type, trajectories, log, there, weights)
    nearest = torch.where(is_guided, away.argmin(-1), 0)
    plan = offered[every, nearest]
    if recovery is None or not recovery.is_on(decision.slot):
        return plan
    strays = torch.nonzero(is_guided & (away[every, nearest] > recovery.trigger_m)).flatten()
    if not len(strays):
        return plan
    blend = recovery.blend(trajectories[strays, nearest[strays]], log[strays])
    known = there[strays] // STEPS_PER_TOKEN
    back = decision.network.space.fit(blend, decision.velocity[strays], known)
    is_known = torch.arange(plan.shape[1], device=plan.device) < known[:, None]
    return plan.index_copy(0, strays, torch.where(is_known[..., None], back, plan[strays]))
