"""Realism of one scene by every policy, without the arrays that it was made from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import TrafficgymError
from trafficgym.metrics.wosac import Realism, SceneScore, Score, WosacConfig
from trafficgym.metrics.wosac.submission import submitted_trajectories
from trafficgym.report.evaluation import rollout_seed
from trafficgym.report.realism_rollouts import RolloutsError, SceneUnit, trajectories
from trafficgym.scene.scene import AgentType
from trafficgym.world.config import WorldConfig
from trafficgym.world.recorded_rollouts import RecordedRollouts
from trafficgym.world.roll_out import is_random, roll_out_batch

ORACLE = "log replay"
"""What the column of the oracle is called."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How scenes are scored."""

    policies: tuple[str, ...]
    config: WosacConfig
    num_rollouts: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class AgentLoss:
    """What an evaluated agent takes from the meta-metric, against the log's replay."""

    scene_id: str
    id: int
    type: str
    lost: float  # points of the scene's meta-metric, if all its agents were like this one
    by_feature: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicyRealism:
    """One scene by one policy."""

    policy: str
    score: Score  # its oracle included
    details: dict[str, Any]  # `SceneScore.as_dict`
    simulated: Mapping[str, NDArray[np.int64]]  # by feature: samples of all rollouts and evaluated agents, (bins,)
    log_likelihood: Mapping[str, NDArray[np.float32]]  # by feature: sum over evaluated agents, (T,)
    agents: tuple[AgentLoss, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneRealism:
    """One scene by every policy, or why it was left out."""

    index: int  # in the source; behind the last scene for what could not be read at all
    scene_id: str
    policies: tuple[PolicyRealism, ...] = ()
    logged: Mapping[str, NDArray[np.int64]] | None = None  # by feature: values of the log that count, (bins,)
    counting: Mapping[str, NDArray[np.int32]] | None = None  # by feature: evaluated agents that count, (T,)
    oracle_log_likelihood: Mapping[str, NDArray[np.float32]] | None = None
    problem: str = ""  # empty where the scene was scored
    is_fault_of_rollouts: bool = False


def score_scene(unit: SceneUnit, scoring: Scoring) -> SceneRealism:
    """Score one scene; whatever goes wrong with it becomes `problem`."""
    read = unit.read
    index, id = read.index, read.scene_id
    if read.scene is None:
        return SceneRealism(index=index, scene_id=id, problem=read.problem)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about missing features, which the table names
            realism = Realism(read.scene, scoring.config)
        scores = {policy: score_policy(realism, policy, scoring) for policy in scoring.policies}
        scores |= _score_recorded(realism, unit, scoring.num_rollouts)
    except TrafficgymError as error:
        fault = isinstance(error, RolloutsError)
        return SceneRealism(index=index, scene_id=id, problem=str(error), is_fault_of_rollouts=fault)
    except Exception as error:  # a fault of ours in one scene should not cost the others
        return SceneRealism(index=index, scene_id=id, problem=f"{type(error).__name__}: {error}")
    oracle = realism.oracle(scoring.num_rollouts)
    return SceneRealism(
        index=index,
        scene_id=id,
        policies=tuple(_condense(realism, name, score) for name, score in scores.items()),
        logged={name: _logged(oracle, name) for name in oracle.histograms},
        counting={name: one.mask.sum(0).astype(np.int32) for name, one in oracle.histograms.items()},
        oracle_log_likelihood={name: _by_step(oracle, name) for name in oracle.histograms},
    )


def score_policy(realism: Realism, policy: str, scoring: Scoring) -> SceneScore:
    """Score rollouts in which a policy drives every simulated object; `policy` is a name that `roll_out` knows."""
    scene, num = realism.scene, scoring.num_rollouts
    horizon = WorldConfig(horizon=scoring.config.num_steps)
    # Where rollouts are equal, one stands for all.
    seeds = [rollout_seed(scoring.seed, scene.id, number) for number in range(num if is_random(policy) else 1)]
    runs = roll_out_batch(scene, policy, seeds, control="all", config=horizon)
    ids, motion = submitted_trajectories(RecordedRollouts.of(runs), scene)
    return realism.score(np.broadcast_to(motion, (num, *motion.shape[1:])), ids, frame="source")


def _score_recorded(realism: Realism, unit: SceneUnit, num: int) -> dict[str, SceneScore]:
    """Score what was recorded, by name.

    Raises:
        RolloutsError: it cannot be scored.
    """
    if unit.problem:
        raise RolloutsError(unit.problem)
    scores = {}
    for name, given in unit.rollouts.items():
        try:
            ids, motion = trajectories(given, realism.scene, num)
            scores[name] = realism.score(motion, ids, frame="source")
        except TrafficgymError as error:
            raise RolloutsError(str(error)) from error
    return scores


def _condense(realism: Realism, policy: str, score: SceneScore) -> PolicyRealism:
    return PolicyRealism(
        policy=policy,
        score=_plain(score),
        details=score.as_dict(),
        simulated={name: _simulated(realism, score, name) for name in score.histograms},
        log_likelihood={name: _by_step(score, name) for name in score.histograms},
        agents=_losses(realism, score),
    )


def _plain(score: Score) -> Score:
    """The score without what leads down to agents and steps."""
    values = {field.name: getattr(score, field.name) for field in fields(Score)}
    return Score(**values | {"oracle": None if score.oracle is None else _plain(score.oracle)})


def _simulated(realism: Realism, score: SceneScore, feature: str) -> NDArray[np.int64]:
    """Samples by bin, without steps that have no value, which the metric counts for the last bin."""
    counts = score.counts[feature].sum(0)
    if not score.histograms[feature].config.is_bernoulli:
        counts[-1] -= score.num_rollouts * int(np.isnan(getattr(realism.log_features, feature)).sum())
    return counts


def _logged(oracle: SceneScore, feature: str) -> NDArray[np.int64]:
    histograms = oracle.histograms[feature]
    return np.bincount(histograms.log_bin[histograms.mask], minlength=histograms.config.bins)


def _by_step(score: SceneScore, feature: str) -> NDArray[np.float32]:
    log_likelihood, mask = score.log_likelihood(feature)
    total: NDArray[np.float32] = (log_likelihood * mask).sum(0).astype(np.float32)
    return total


def _losses(realism: Realism, score: SceneScore) -> tuple[AgentLoss, ...]:
    """Of each evaluated agent, in the order of `Realism.evaluated`."""
    assert isinstance(score.oracle, SceneScore)
    own, best = score.likelihoods_of_agents(), score.oracle.likelihoods_of_agents()
    types = realism.scene.tracks.type[realism.evaluated_tracks]
    found = []
    for k, id in enumerate(realism.evaluated):
        lost = {
            name: realism.config.features[name].weight * float(best[name][k] - own[name][k])
            for name in own
            if math.isfinite(own[name][k])
        }
        kind = AgentType(int(types[k])).name.lower()
        found.append(
            AgentLoss(scene_id=realism.scene.id, id=int(id), type=kind, lost=sum(lost.values()), by_feature=lost)
        )
    return tuple(found)
