"""From rollouts to one row of numbers per policy, each with its confidence interval.

`measure` reduces the rollouts of one scene by one policy to sums and counts, which are small, add up, and
can be sent between processes; `summarise_measures` pools them over scenes. Rates and means are over all
agents of all scenes (a scene weighs as much as it has agents), divergences between histograms pooled over
all agent-steps; intervals come from resampling scenes (see `bootstrap`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.metrics import infractions, reconstruction
from trafficgym.metrics.bootstrap import Bootstrap, Interval, Statistic, intervals, ratio_statistic
from trafficgym.metrics.criticality import Encounters, encounters
from trafficgym.metrics.distribution import FEATURES, FeatureBins, histograms, jensen_shannon
from trafficgym.metrics.trajectories import Masked, measured_agents
from trafficgym.world.rollout import Rollout


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One line of the table."""

    key: str
    label: str
    unit: str  # "%" for a share of agents, which is kept as a fraction
    meaning: str


CRITICAL_TTC_S = 1.5
CRITICAL_PET_S = 1.0
CRITICAL_DRAC = 3.35
"""m/s^2; beyond it an encounter counts as a conflict (Archer 2005)."""

METRICS = (
    Metric(key="collision", label="collision", unit="%", meaning="agents whose box overlaps another's at any time"),
    Metric(
        key="at_fault", label="at-fault collision", unit="%", meaning="agents in a collision that is their own fault"
    ),
    Metric(key="off_road", label="off-road", unit="%", meaning="agents that leave the road at any time"),
    Metric(key="wrong_way", label="wrong way", unit="%", meaning="agents that drive against their lane at any time"),
    Metric(key="red_light", label="red light", unit="%", meaning="agents that run a red light"),
    Metric(
        key="infeasible", label="infeasible", unit="%", meaning="agents that ever move as nothing of their kind can"
    ),
    Metric(key="goal", label="goal reached", unit="%", meaning="agents that reach their goal"),
    Metric(key="ade", label="ADE", unit="m", meaning="mean distance to the logged position"),
    Metric(key="min_ade", label="minADE", unit="m", meaning="ADE of the best of a scene's rollouts"),
    Metric(key="fde_5s", label="FDE at 5 s", unit="m", meaning="distance to the logged position after 5 s"),
    Metric(key="ate", label="ATE", unit="m", meaning="mean absolute error along the logged path"),
    Metric(key="cte", label="CTE", unit="m", meaning="mean distance to the logged path"),
    Metric(key="jsd_acceleration", label="JSD acceleration", unit="nat", meaning="simulated against logged histogram"),
    Metric(key="jsd_speed", label="JSD speed", unit="nat", meaning="simulated against logged histogram"),
    Metric(
        key="jsd_lateral_offset", label="JSD lateral offset", unit="nat", meaning="simulated against logged histogram"
    ),
    Metric(
        key="jsd_lead_distance", label="JSD lead distance", unit="nat", meaning="simulated against logged histogram"
    ),
    Metric(
        key="critical_ttc",
        label=f"TTC < {CRITICAL_TTC_S} s",
        unit="%",
        meaning="agents with so small a TTC at any time",
    ),
    Metric(
        key="critical_pet",
        label=f"PET < {CRITICAL_PET_S} s",
        unit="%",
        meaning="agents with so small a PET at any time",
    ),
    Metric(
        key="critical_drac",
        label=f"DRAC > {CRITICAL_DRAC} m/s²",
        unit="%",
        meaning="agents with so large a DRAC at any time",
    ),
)
"""Every metric of a summary, in the order of the table."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneMeasures:
    """What one policy did in one scene, over all its rollouts."""

    scene_id: str
    policy: str
    num_rollouts: int
    num_agents: int  # measured in each rollout
    totals: dict[str, float]  # by metric: sum over agents and rollouts
    counts: dict[str, int]  # by metric: number of agents that the sum is over
    histograms: dict[str, NDArray[np.int64]]  # by feature: (2, bins), simulated and logged
    extremes: dict[str, float] = field(default_factory=dict)  # min_ttc [s], min_pet [s], max_drac [m/s^2], if any

    def value(self, key: str) -> float | None:
        """One metric of this scene alone, or None where no agent has it."""
        if key.startswith("jsd_"):
            divergence = float(jensen_shannon(*self.histograms[key.removeprefix("jsd_")]))
            return divergence if np.isfinite(divergence) else None
        return self.totals[key] / self.counts[key] if self.counts[key] else None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One policy over all scenes: an interval per metric, None where no agent has it."""

    policy: str
    num_scenes: int
    num_rollouts: int
    num_agents: int
    values: dict[str, Interval | None]


def measure(rollouts: Sequence[Rollout], bins: FeatureBins | None = None) -> SceneMeasures:
    """Reduce one or more rollouts of one scene by one policy.

    Raises:
        ConfigError: there is no rollout, or they are of several scenes or policies.
    """
    if len({(rollout.scene.id, rollout.policy) for rollout in rollouts}) != 1:
        raise ConfigError("measure takes one or more rollouts of one scene by one policy")
    closest = [encounters(rollout) for rollout in rollouts]
    parts = [_shares_and_means(rollout, near) for rollout, near in zip(rollouts, closest, strict=True)]
    best = reconstruction.min_ade(rollouts)
    counted = [histograms(rollout, bins=bins) for rollout in rollouts]
    return SceneMeasures(
        scene_id=rollouts[0].scene.id,
        policy=rollouts[0].policy,
        num_rollouts=len(rollouts),
        num_agents=int(measured_agents(rollouts[0]).sum()),
        totals={key: sum(part[key].total for part in parts) for key in parts[0]} | {"min_ade": best.total},
        counts={key: sum(part[key].num for part in parts) for key in parts[0]} | {"min_ade": best.num},
        histograms={name: np.sum([c[name] for c in counted], axis=0) for name in FEATURES},
        extremes=_extremes(closest),
    )


def summarise(rollouts: Sequence[Rollout], bootstrap: Bootstrap | None = None) -> list[Row]:
    """One row per policy, in the order in which the policies first occur."""
    groups: dict[tuple[str, str], list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        groups[rollout.policy, rollout.scene.id].append(rollout)
    return summarise_measures([measure(group) for group in groups.values()], bootstrap)


def summarise_measures(measures: Sequence[SceneMeasures], bootstrap: Bootstrap | None = None) -> list[Row]:
    """One row per policy, in the order in which the policies first occur; the order of the scenes does not matter."""
    return [_row(policy, scenes, bootstrap) for policy, scenes in by_policy(measures).items()]


def differences(measures: Sequence[SceneMeasures], reference: str, bootstrap: Bootstrap | None = None) -> list[Row]:
    """Every other policy minus `reference`, scene by scene, over the scenes that both have driven.

    Raises:
        ConfigError: no measure is of the policy `reference`.
    """
    groups = by_policy(measures)
    if reference not in groups:
        raise ConfigError(f"no rollout of {reference!r} to compare with; there are {', '.join(groups)}")
    return [_difference(groups[name], groups[reference], bootstrap) for name in groups if name != reference]


def by_policy(measures: Sequence[SceneMeasures]) -> dict[str, list[SceneMeasures]]:
    """Measures of each policy, scenes sorted by id."""
    groups: dict[str, list[SceneMeasures]] = defaultdict(list)
    for one in measures:
        groups[one.policy].append(one)
    return {policy: sorted(group, key=lambda one: one.scene_id) for policy, group in groups.items()}


def pooled_histogram(measures: Sequence[SceneMeasures], feature: str) -> NDArray[np.int64]:
    """Counts of one feature over all scenes, ``[2, bins]``: simulated and logged."""
    total: NDArray[np.int64] = np.sum([one.histograms[feature] for one in measures], axis=0)
    return total


def _shares_and_means(rollout: Rollout, near: Encounters) -> dict[str, Masked]:
    agents = measured_agents(rollout)
    return {
        "collision": infractions.collision(rollout),
        "at_fault": infractions.at_fault_collision(rollout),
        "off_road": infractions.off_road(rollout),
        "wrong_way": infractions.wrong_way(rollout),
        "red_light": infractions.red_light(rollout),
        "infeasible": infractions.infeasible(rollout),
        "goal": infractions.goal(rollout),
        "ade": reconstruction.ade(rollout),
        "fde_5s": reconstruction.fde(rollout),
        "ate": reconstruction.ate(rollout),
        "cte": reconstruction.cte(rollout),
        "critical_ttc": Masked(near.ttc.valid & (near.ttc.value < CRITICAL_TTC_S), agents),
        "critical_pet": Masked(near.pet.valid & (near.pet.value < CRITICAL_PET_S), agents),
        "critical_drac": Masked(near.drac.valid & (near.drac.value > CRITICAL_DRAC), agents),
    }


def _extremes(closest: Sequence[Encounters]) -> dict[str, float]:
    found = {
        "min_ttc": [near.ttc.value[near.ttc.valid].min() for near in closest if near.ttc.valid.any()],
        "min_pet": [near.pet.value[near.pet.valid].min() for near in closest if near.pet.valid.any()],
        "max_drac": [-near.drac.value[near.drac.valid].max() for near in closest if near.drac.valid.any()],
    }
    return {name: abs(float(min(values))) for name, values in found.items() if values}


def _row(policy: str, scenes: Sequence[SceneMeasures], bootstrap: Bootstrap | None) -> Row:
    statistics = {metric.key: _statistic(scenes, metric.key) for metric in METRICS}
    return Row(policy=policy, **_size(scenes), values=intervals(statistics, len(scenes), bootstrap))


def _difference(
    scenes: Sequence[SceneMeasures], reference: Sequence[SceneMeasures], bootstrap: Bootstrap | None
) -> Row:
    both = {one.scene_id for one in scenes} & {one.scene_id for one in reference}
    scenes = [one for one in scenes if one.scene_id in both]
    reference = [one for one in reference if one.scene_id in both]
    statistics = {
        metric.key: _minus(_statistic(scenes, metric.key), _statistic(reference, metric.key)) for metric in METRICS
    }
    return Row(policy=scenes[0].policy, **_size(scenes), values=intervals(statistics, len(scenes), bootstrap))


def _minus(a: Statistic, b: Statistic) -> Statistic:
    return lambda weights: a(weights) - b(weights)


def _size(scenes: Sequence[SceneMeasures]) -> dict[str, int]:
    return {
        "num_scenes": len(scenes),
        "num_rollouts": sum(one.num_rollouts for one in scenes),
        "num_agents": sum(one.num_agents for one in scenes),
    }


def _statistic(scenes: Sequence[SceneMeasures], key: str) -> Statistic:
    if not key.startswith("jsd_"):
        return ratio_statistic([one.totals[key] for one in scenes], [one.counts[key] for one in scenes])
    counted = np.stack([one.histograms[key.removeprefix("jsd_")] for one in scenes])  # (S, 2, bins)

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return jensen_shannon(weights @ counted[:, 0], weights @ counted[:, 1])

    return statistic
