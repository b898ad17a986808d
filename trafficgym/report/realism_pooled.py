"""Scenes put together: histograms, and how likelihoods change along the horizon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.report.realism import RealismEvaluation
from trafficgym.report.realism_scene import ORACLE, AgentLoss

ByFeature = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pooled:
    """All scenes that were scored; histograms are counts by bin, ``[bins]``, curves are by step, ``[T]``."""

    logged: ByFeature
    """Histograms of the log, of those values that count."""
    simulated: Mapping[str, ByFeature]
    """Histograms of every policy."""
    log_likelihood: Mapping[str, ByFeature]
    """Mean natural logarithm of the likelihood by policy, the log's replay included; NaN where nothing counts."""

    @classmethod
    def of(cls, evaluation: RealismEvaluation) -> Pooled:
        """Put the scenes of an evaluation together."""
        scored, features = evaluation.scored, evaluation.config.config.features
        counting = _sum(features, (outcome.counting for outcome in scored))
        totals = {ORACLE: _sum(features, (outcome.oracle_log_likelihood for outcome in scored))}
        simulated = {}
        for k, row in enumerate(evaluation.rows):
            simulated[row.policy] = _sum(features, (outcome.policies[k].simulated for outcome in scored))
            totals[row.policy] = _sum(features, (outcome.policies[k].log_likelihood for outcome in scored))
        with np.errstate(invalid="ignore"):
            curves = {
                policy: {name: total / counting[name] for name, total in one.items()} for policy, one in totals.items()
            }
        return cls(
            logged=_sum(features, (outcome.logged for outcome in scored)), simulated=simulated, log_likelihood=curves
        )


def worst_agents(evaluation: RealismEvaluation, policy: int, num: int) -> list[AgentLoss]:
    """The agents that take most from the meta-metric of the policy with this number, against the log's replay."""
    agents = (agent for outcome in evaluation.scored for agent in outcome.policies[policy].agents)
    return sorted(agents, key=lambda agent: (-agent.lost, agent.scene_id, agent.id))[:num]


def _sum(features: Iterable[str], scenes: Iterable[ByFeature | None]) -> dict[str, NDArray[Any]]:
    """Sum over scenes, in their order, of each feature that any has."""
    total: dict[str, NDArray[Any]] = {}
    for scene in scenes:
        for name, values in (scene or {}).items():
            wide = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
            total[name] = total[name] + wide if name in total else wide
    return {name: total[name] for name in features if name in total}
