"""What rollouts are rewarded for: a weighted sum of what each adds to a set of rollouts of one scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, names_nearest
from trafficgym.metrics.goals import goal_misses
from trafficgym.metrics.wosac import Features, LeaveOneOut, Realism, SceneScore
from trafficgym.rewards.realism import against_others

Float64 = NDArray[np.float64]
Estimator = Literal["mloo", "rloo"]
Credit = Literal["scene", "agent"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """R rollouts of a scene and what they earn."""

    rewards: Float64
    """``[R]``, or ``[R, E]`` with credit by agent, in the order of ``Realism.evaluated``."""
    score: SceneScore
    """Of all R together."""
    single: Float64
    """(R,) meta-metric of each alone."""
    reached: NDArray[np.bool_] | None
    """(R, E) whether goals were reached by the criterion; None without goals. False where an object has none."""


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights of what a set of rollouts is judged by, and how one rollout's part in it is estimated.

    ``"mloo"``: ``R_i = (1/R) sum_j M_{-j} - M_{-i}``, where ``M_{-j}`` is the measure of the set without rollout j
    (RLFTSim, equation 2; METHODS.md D.1). ``"rloo"``: ``R_i = M_i - 1/(R-1) sum_{j != i} M_j``, where ``M_j`` is that
    of rollout j alone. Both sum to 0 over the rollouts of a scene: the group is its own baseline. Of measures that are
    means over rollouts (ADE, collisions, off-road) they are the same but for a factor: MLOO's is ``1/R`` of RLOO's.

    Raises:
        ConfigError: a value makes no sense.
    """

    rmm: float = 1.0
    """Of the realism meta-metric."""
    min_ade: float = 0.0
    """1/m, of minus the smallest ADE of the set."""
    ade: float = 0.0
    """1/m, of minus the mean ADE."""
    collision: float = 0.0
    """Of minus the share of evaluated objects that touch another."""
    offroad: float = 0.0
    """Of minus the share of evaluated objects that leave the road."""
    goal: float = 0.0
    """Of the share of evaluated objects with a goal that reach it; always by ``"rloo"``, since the papers' reward is
    that share itself (METHODS.md D.3), to which the mean of the others is the baseline."""
    criterion: Literal["soft", "hard"] = "soft"
    """Goals are reached in passing, or at the end."""
    radius: float = 2.0
    """m, how near to a goal is there."""
    estimator: Estimator = "mloo"
    credit: Credit = "scene"
    """``"agent"``: each evaluated object earns by its own likelihoods, displacement and flags. Ours, in no paper."""

    def __post_init__(self) -> None:
        if self.estimator not in ("mloo", "rloo"):
            raise ConfigError(f"estimator is {self.estimator!r}; it is 'mloo' or 'rloo'")
        if self.credit not in ("scene", "agent"):
            raise ConfigError(f"credit is {self.credit!r}; it is 'scene' or 'agent'")
        if self.criterion not in ("soft", "hard"):
            raise ConfigError(f"criterion is {self.criterion!r}; it is 'soft' or 'hard'")
        if not self.radius > 0:
            raise ConfigError(f"radius is {self.radius!r}; it is a distance in metres, larger than 0")
        if not any((self.rmm, self.min_ade, self.ade, self.collision, self.offroad, self.goal)):
            raise ConfigError("all weights of the objective are 0; there is nothing to learn for")

    def __call__(
        self, realism: Realism, rollouts: NDArray[np.floating], goals: NDArray[np.floating] | None = None
    ) -> Judged:
        """Judge rollouts of one scene.

        Args:
            realism: Of the scene.
            rollouts: x, y, z [m], yaw [rad] in the scene frame, ``[R, A, 80, 4]``, two at least.
            goals: x, y [m] of all tracks, ``[A, 2]``, NaN where there is none; None: nobody has one.

        Raises:
            ConfigError: the rollouts do not fit, or goals are rewarded and not given.
        """
        if self.goal and goals is None:
            raise ConfigError(f"the objective has a weight of {self.goal} for goals, and no goals are given")
        features = realism.features(rollouts)
        without, alone = realism.leave_one_out(features), realism.single(features)
        reached, has_goal = self._reached(realism, rollouts, goals)
        parts = list(self._parts(features, reached, has_goal))
        if self.rmm:
            parts.append(self.rmm * self._of_realism(without, alone))
        return Judged(
            rewards=sum(parts, start=np.zeros(1)),
            score=without.score,
            single=alone[0],
            reached=None if goals is None else reached,
        )

    def _of_realism(self, without: LeaveOneOut, alone: tuple[Float64, Float64]) -> Float64:
        """As `trafficgym.rewards.realism.rollout_rewards`, from scores that are known."""
        of_scene, of_agents = alone
        if self.credit == "agent":
            return without.marginal_of_agents if self.estimator == "mloo" else against_others(of_agents)
        return without.marginal if self.estimator == "mloo" else against_others(of_scene)

    def _parts(self, features: Features, reached: NDArray[np.bool_], has_goal: NDArray[np.bool_]) -> Iterator[Float64]:
        away = -features.displacement_error.astype(np.float64)  # (R, E)
        if self.min_ade:
            yield self.min_ade * self._estimated(self._credited(away), best=True)
        if self.ade:
            yield self.ade * self._estimated(self._credited(away))
        if self.collision:
            yield -self.collision * self._estimated(self._credited(np.asarray(features.collision_indication.any(-1))))
        if self.offroad and features.offroad_indication is not None:
            yield -self.offroad * self._estimated(self._credited(np.asarray(features.offroad_indication.any(-1))))
        if self.goal and has_goal.any():
            share = reached if self.credit == "agent" else reached[:, has_goal].mean(-1)
            yield self.goal * against_others(np.asarray(share, np.float64))

    def _credited(self, values: NDArray) -> Float64:
        """Of each rollout, or of each object in it; from ``[R, E]``."""
        return np.asarray(values if self.credit == "agent" else values.mean(-1), np.float64)

    def _estimated(self, single: Float64, best: bool = False) -> Float64:
        """From measures of rollouts alone, whose mean, or largest, is that of a set."""
        if self.estimator == "rloo":
            return against_others(single)
        num = len(single)
        if best:
            without = np.stack([np.delete(single, i, 0).max(0) for i in range(num)])
        else:
            without = (single.sum(0) - single) / (num - 1)
        return np.asarray(without.mean(0) - without)

    def _reached(
        self, realism: Realism, rollouts: NDArray[np.floating], goals: NDArray[np.floating] | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether evaluated objects reach their goals, ``[R, E]``, and have any, ``[E]``."""
        track = realism.evaluated_tracks
        if goals is None:
            return np.zeros((len(rollouts), len(track)), bool), np.zeros(len(track), bool)
        agents = np.isin(np.arange(rollouts.shape[1]), track)
        found = goal_misses(rollouts, goals, agents, criterion=self.criterion, within=self.radius)
        return (~found.missed & found.valid)[:, track], found.valid[track]
