"""What realism comes to: the score of one scene, and the mean over many (WOSAC.md section 9)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.metrics.wosac.config import BUCKETS, WosacConfig
from trafficgym.metrics.wosac.histograms import Histograms

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]

BUCKET_NAMES = {"kinematic": "kinematic_metrics", "interactive": "interactive_metrics", "map": "map_based_metrics"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Score:
    """Realism of some rollouts, with its parts.

    Likelihoods lie between 0 and 1. The log itself does not reach 1, but about 0.8, since one histogram is made of all
    steps of an object: compare with `oracle`.
    """

    config: str
    """Name of the `WosacConfig`."""
    num_scenes: int
    num_rollouts: int
    """Of each scene."""
    metametric: float
    likelihoods: Mapping[str, float]
    """By feature."""
    buckets: Mapping[str, float]
    """Weighted means of the likelihoods: ``kinematic``, ``interactive``, ``map``."""
    rates: Mapping[str, float]
    """Shares of simulated objects that collide, leave the road, or run a red light, where the log is valid."""
    ade: float
    """m, 3-D, mean over rollouts, evaluated objects and all logged steps, history included."""
    min_ade: float
    """m, of the best rollout."""
    missing: tuple[str, ...] = ()
    """Features that the scene does not allow; the meta-metric is then taken over the others, by their weights."""
    oracle: Score | None = None
    """What the replayed log scores with as many rollouts."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by the names of the official protos, and after them what those lack; None where a value is NaN."""
        return {
            "metametric": _plain(self.metametric),
            **{f"{name}_likelihood": value for name, value in self.likelihoods.items()},
            **{f"simulated_{name}_rate": value for name, value in self.rates.items()},
            "average_displacement_error": self.ade,
            "min_average_displacement_error": self.min_ade,
            **{BUCKET_NAMES[name]: _plain(value) for name, value in self.buckets.items()},
            "config": self.config,
            "num_scenes": self.num_scenes,
            "num_rollouts": self.num_rollouts,
            "missing": list(self.missing),
            "oracle": None if self.oracle is None else self.oracle.as_dict(),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneScore(Score):
    """The score of one scene, down to each agent and step."""

    scene_id: str
    ids: NDArray[np.int64]
    """(E,) ids of the evaluated objects."""
    histograms: Mapping[str, Histograms]
    """By feature: bins, logged values, and which of them count."""
    counts: Mapping[str, NDArray[np.int64]]
    """By feature: samples of all rollouts, ``[G, bins]``."""

    def log_likelihood(self, feature: str) -> tuple[Float64, Bool]:
        """Natural logarithm of the likelihood of each logged value, ``[E, T]``, and which count, bool ``[E, T]``.

        T is 1 for the flags (collision, off-road, red light), which are asked of a rollout as a whole.
        """
        histograms = self.histograms[feature]
        return histograms.log_likelihood(self.counts[feature]), histograms.mask

    def likelihoods_of_agents(self) -> dict[str, Float64]:
        """Likelihood of each evaluated object alone, by feature, ``[E]``; NaN where nothing of it counts."""
        return {
            name: one.likelihood_of_agents(one.log_likelihood(self.counts[name]))
            for name, one in self.histograms.items()
        }

    def as_dict(self) -> dict[str, Any]:
        agents = self.likelihoods_of_agents()
        return {
            "scenario_id": self.scene_id,
            **super().as_dict(),
            "agents": {
                str(id): {name: _plain(value[k]) for name, value in agents.items()} for k, id in enumerate(self.ids)
            },
        }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def metametric(config: WosacConfig, likelihoods: Mapping[str, Any]) -> Any:
    """Weighted sum of likelihoods, of whatever shape, by feature.

    Where features are missing, the weights of the others are scaled up to the same sum.
    """
    weights = {name: config.features[name].weight for name in likelihoods}
    total = sum(feature.weight for feature in config.features.values())
    present = sum(weights.values())
    plain = sum(weights[name] * likelihoods[name] for name in likelihoods)
    if len(likelihoods) == len(config.features):
        return plain  # the official sum, also where weights do not add up to 1
    return plain * (total / present) if present > 0 else math.nan


def buckets(config: WosacConfig, likelihoods: Mapping[str, float]) -> dict[str, float]:
    """Weighted means of likelihoods by bucket; NaN where all of its features are missing, or weigh nothing."""
    found = {}
    for bucket in BUCKET_NAMES:
        names = [name for name in likelihoods if BUCKETS[name] == bucket]
        weight = sum(config.features[name].weight for name in names)
        total = sum(config.features[name].weight * likelihoods[name] for name in names)
        found[bucket] = total / weight if weight > 0 else math.nan
    return found


def mean_score(scores: Sequence[Score], config: WosacConfig) -> Score:
    """Plain mean over scenes of every field; buckets from the mean likelihoods, like the official aggregate.

    A likelihood, or a rate, that is missing in some scenes is the mean over the others.

    Raises:
        ConfigError: there is no score, or they are of different configs or numbers of rollouts.
    """
    if not scores:
        raise ConfigError("there is no score to take the mean of")
    kinds = {(score.config, score.num_rollouts) for score in scores} | {(config.name, scores[0].num_rollouts)}
    if len(kinds) > 1:
        raise ConfigError(f"scores of different (config, rollouts) do not compare: {sorted(kinds)}")

    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values)) if len(values) else math.nan

    named = {
        name: mean([score.likelihoods[name] for score in scores if name in score.likelihoods])
        for name in config.features
        if any(name in score.likelihoods for score in scores)
    }
    rates = dict.fromkeys(name for score in scores for name in score.rates)
    oracles = [score.oracle for score in scores if score.oracle is not None]
    return Score(
        config=config.name,
        num_scenes=sum(score.num_scenes for score in scores),
        num_rollouts=scores[0].num_rollouts,
        metametric=mean([score.metametric for score in scores]),
        likelihoods=named,
        buckets=buckets(config, named),
        rates={name: mean([score.rates[name] for score in scores if name in score.rates]) for name in rates},
        ade=mean([score.ade for score in scores]),
        min_ade=mean([score.min_ade for score in scores]),
        missing=tuple(name for name in config.features if any(name in score.missing for score in scores)),
        oracle=mean_score(oracles, config) if len(oracles) == len(scores) else None,
    )
