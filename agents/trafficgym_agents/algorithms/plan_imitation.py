"""Imitation by trajectory policies, of the log or of a rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from trafficgym_agents.algorithms.behaviour_cloning import Target
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.config import HISTORY_TOKENS
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork
from trafficgym_agents.policies.trajectory.states import PlanBatch, log_plans, on_log

Tensor = Any


@dataclass(frozen=True)
class PlanLoss:
    """A sum over nodes and how many they are, so that parts of a batch can be added up."""

    total: Tensor  # scalar, nats
    count: int
    away: float  # m, sum: of each node, how far its likeliest half second ends from the target's

    @property
    def mean(self) -> Tensor:
        return self.total / max(self.count, 1)


def plan_imitation_loss(
    network: TrajectoryNetwork,
    batch: Batch,
    *,
    target: Target = "executed",
    everybody: bool = False,
    map_features: Tensor | None = None,
    table_rows: int = 0,
) -> PlanLoss:
    """Imitate what was driven, over all slots after "now".

    What was executed is imitated by its negative log-likelihood (RoaD's eq. 3): on the log that is behaviour cloning.
    For the way back to the log, means are moved alone, by a Huber loss in units of sigma: an agent does not see where
    its log is, and likelihood would widen the distribution until rollouts run away.

    Args:
        network: The network.
        batch: Scenes as they were driven, or tokenised ones, which are put on their logs (`on_log`); agents that carry
            loss, where they are valid and so is the log at the end of the next slot.
        target: ``"executed"``: the plan that the batch has. ``"recovery"``: the one that leads back to the log from
            where the agent is (`states.log_plans`). Half seconds for which there is no plan do not count.
        everybody: Count agents that carry no loss, too (validation).
        map_features: From `TrajectoryNetwork.encode_map`; None: encode the map, with gradient.
        table_rows: See `SmartNetwork.forward`.
    """
    batch = batch if isinstance(batch, PlanBatch) else on_log(network, batch)
    nodes, agents = network(batch, map_features, table_rows), batch.agents
    counts = (nodes.slot >= HISTORY_TOKENS - 1) & agents.raw_valid[nodes.agent, nodes.slot + 1]
    if not everybody:
        counts &= agents.learns[nodes.agent]
    rows = torch.nonzero(counts).flatten()
    agent, slot, plans = nodes.agent[rows], nodes.slot[rows], nodes.plans[rows]
    if target == "executed":
        wanted, known = batch.plan[agent, slot + 1], batch.known[agent, slot + 1]
        loss = -plans.log_density(wanted)
    else:
        wanted, known = log_plans(network, agents, agent, slot, batch.velocity[agent, slot])
        away = (plans.mean - wanted) / plans.sigma.detach()
        loss = torch.nn.functional.smooth_l1_loss(away, torch.zeros_like(away), reduction="none")
    is_known = torch.arange(wanted.shape[1], device=known.device) < known[:, None]
    total = (loss.sum(-1) * is_known).sum()
    return PlanLoss(total=total, count=len(rows), away=_away(plans.mode.detach(), wanted, known))


def _away(plan: Tensor, wanted: Tensor, known: Tensor) -> float:
    """Distance after the first half second, in which accelerations act for 0.15 s^2."""
    away = 0.15 * (plan - wanted)[:, 0, :2].norm(dim=-1)
    return float(away[known > 0].sum())
