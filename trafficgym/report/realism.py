"""Realism of policies, and of rollouts that were recorded, over many scenes, by the metric of the WOSAC challenge.

Nothing depends on the order in which scenes are done or on the number of processes; see `trafficgym.report.evaluation`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from trafficgym.errors import ConfigError, SceneError, check_whole
from trafficgym.metrics.bootstrap import Bootstrap, Interval, paired_difference, ratio_interval
from trafficgym.metrics.wosac import Score, WosacConfig, find_config, mean_score
from trafficgym.report.realism_rollouts import RolloutFiles, SceneUnit, Submission, open_rollouts
from trafficgym.report.realism_scene import ORACLE, SceneRealism, Scoring, score_scene
from trafficgym.report.scene_pool import as_done, num_processes, read_scenes
from trafficgym.report.source import SceneSource, unreadable
from trafficgym.scene.scene import Scene
from trafficgym.scene.store import SceneStore
from trafficgym.world.roll_out import POLICIES, check_policy

OFFICIAL_ROLLOUTS = 32


@dataclass(frozen=True, kw_only=True)
class RealismConfig:
    """What is scored; together with the source it decides every number.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    policies: tuple[str, ...] = ()
    """Drive every simulated object; all but the log's replay by default, unless there are `rollouts`."""
    rollouts: Path | None = None
    """A file of rollouts, a folder of them, or a submission to the challenge."""
    rollouts_per_scene: int = OFFICIAL_ROLLOUTS
    """So many are scored together; of more that were recorded, the first ones."""
    wosac: str = "2025"
    """Name of a configuration, see `trafficgym.metrics.wosac.CONFIGS`."""
    seed: int = 0
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        if not self.policies and self.rollouts is None:
            object.__setattr__(self, "policies", tuple(policy for policy in POLICIES if policy != "log"))
        if len(set(self.policies)) != len(self.policies):
            raise ConfigError(f"policies are {self.policies}; give each once")
        for policy in self.policies:
            check_policy(policy)
        check_whole(self, rollouts_per_scene=1, seed=0)
        if self.config.first_step == 0:
            raise ConfigError(
                f"the WOSAC config {self.wosac!r} scores whole scenes from their first step on, and rollouts begin at "
                "the current step; score arrays of your own in Python with trafficgym.metrics.wosac.Realism"
            )

    @property
    def config(self) -> WosacConfig:
        """The configuration of that name."""
        return find_config(self.wosac)


@dataclass(frozen=True, kw_only=True)
class RealismRow:
    """One policy over all scenes that were scored."""

    policy: str
    score: Score
    interval: Interval | None
    """Of the meta-metric, from resampling scenes."""
    difference: Interval | None
    """Meta-metric minus that of the log's replay, over the same resamples."""


@dataclass(frozen=True, kw_only=True)
class RealismEvaluation:
    """All scenes in the order of the source, and the means over them."""

    source: SceneSource
    config: RealismConfig
    outcomes: tuple[SceneRealism, ...]
    rows: tuple[RealismRow, ...]
    oracle: RealismRow
    """The log's replay; a policy cannot be expected to score more."""
    unknown: tuple[str, ...]
    """Ids of recorded scenes that the source does not hold."""
    wall_time_s: float
    workers: int

    @property
    def scored(self) -> list[SceneRealism]:
        """The scenes that the means are over."""
        return [outcome for outcome in self.outcomes if not outcome.problem]

    @property
    def skipped(self) -> list[SceneRealism]:
        """The scenes that were left out."""
        return [outcome for outcome in self.outcomes if outcome.problem]

    @property
    def missing(self) -> dict[str, int]:
        """Features that some scenes do not allow, and in how many of those scored."""
        found = Counter(name for outcome in self.scored for name in outcome.policies[0].score.missing)
        return {name: found[name] for name in self.config.config.features if name in found}


def evaluate_realism(
    source: SceneSource,
    config: RealismConfig,
    *,
    workers: int | None = 1,
    on_scene: Callable[[int, int], None] = lambda done, num: None,
) -> RealismEvaluation:
    """Score; a scene that cannot be scored for every policy is left out for all, and kept with its reason.

    Args:
        workers: Number of processes, None for one per core but no more than the scenes are worth; the results are
            the same for any number.
        on_scene: Called with the number of scenes done and of all.

    Raises:
        TrafficgymError: the source or the rollouts cannot be opened, no scene at all could be scored, or a process
            died.
    """
    start = time.perf_counter()
    recorded = None if config.rollouts is None else open_rollouts(config.rollouts)
    scoring = _scoring(config, recorded)
    scenes, num = source.open()
    workers = num_processes(workers, num)
    on_scene(0, num)
    outcomes: list[SceneRealism] = []
    for outcome in as_done(partial(score_scene, scoring=scoring), _units(recorded, scenes, num), workers):
        outcomes.append(outcome)
        on_scene(len(outcomes), num)
    outcomes.sort(key=lambda outcome: outcome.index)
    unknown = recorded.unknown(_ids(scenes, outcomes)) if recorded is not None and source.max_scenes is None else ()
    outcomes += [SceneRealism(index=num, scene_id=where, problem=reason) for where, reason in unreadable(scenes)]
    scored = [outcome for outcome in outcomes if not outcome.problem]
    if not scored:
        raise SceneError(
            f"{source.name}: none of {num} scenes can be scored; {outcomes[0].scene_id}: {outcomes[0].problem}"
        )
    oracles = [_oracle(outcome) for outcome in scored]
    return RealismEvaluation(
        source=source,
        config=config,
        outcomes=tuple(outcomes),
        rows=tuple(
            _row(one.policy, [outcome.policies[k].score for outcome in scored], oracles, config)
            for k, one in enumerate(scored[0].policies)
        ),
        oracle=_row(ORACLE, oracles, oracles, config),
        unknown=unknown,
        wall_time_s=time.perf_counter() - start,
        workers=workers,
    )


def _scoring(config: RealismConfig, recorded: RolloutFiles | Submission | None) -> Scoring:
    for name in () if recorded is None else recorded.names:
        if name in (*config.policies, ORACLE):
            raise ConfigError(
                f"{config.rollouts}: holds rollouts by {name!r}, and so is a column already; leave one out"
            )
    return Scoring(
        policies=config.policies, config=config.config, num_rollouts=config.rollouts_per_scene, seed=config.seed
    )


def _units(recorded: RolloutFiles | Submission | None, scenes: Sequence[Scene], num: int) -> Iterator[SceneUnit]:
    if recorded is not None:
        return recorded.units(scenes, num)
    return (SceneUnit(read=read) for read in read_scenes(scenes, range(num)))


def _ids(scenes: Sequence[Scene], outcomes: Sequence[SceneRealism]) -> frozenset[str]:
    return frozenset(scenes.ids if isinstance(scenes, SceneStore) else (outcome.scene_id for outcome in outcomes))


def _oracle(outcome: SceneRealism) -> Score:
    oracle = outcome.policies[0].score.oracle
    assert oracle is not None
    return oracle


def _row(policy: str, scores: Sequence[Score], oracles: Sequence[Score], config: RealismConfig) -> RealismRow:
    ones = np.ones(len(scores))
    own, best = ([score.metametric for score in many] for many in (scores, oracles))
    return RealismRow(
        policy=policy,
        score=mean_score(scores, config.config),
        interval=ratio_interval(own, ones, config.bootstrap),
        difference=paired_difference((own, ones), (best, ones), config.bootstrap),
    )
