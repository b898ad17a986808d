"""REINFORCE over groups of rollouts: what a rollout adds to its group is what its decisions are rewarded for.

RLFTSim (METHODS.md D.2): maximise ``sum_i R_i sum_{t,a} log pi(a_t) - beta KL(pi || pi_ref)``, where the rewards of the
R rollouts of a scene sum to 0 (`Objective`). The distribution is the one that actions were drawn from, truncated and
renormalised; the divergence is exact, over its support. Any `Actor` learns by it: one that draws tokens, or one whose
actions are continuous.

Rollouts are those of a vector environment of one world per rollout with the policy's own dynamics, to the bit; they are
made without the world, which is some twenty times faster, and `Objective` is the environment's reward of the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym.metrics.wosac import Realism
from trafficgym_agents.algorithms.actors import Actor, Driven
from trafficgym_agents.algorithms.kl_control import KlControl, Leash
from trafficgym_agents.algorithms.objective import Judged, Objective
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.simulation import as_tracks
from trafficgym_agents.policies.smart.tokens import SceneTokens

Tensor = Any
Float64 = np.ndarray[Any, np.dtype[np.float64]]


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Reinforce:
    """Settings of the method; what the paper leaves open (METHODS.md J) is an option here.

    Raises:
        ConfigError: a value makes no sense.
    """

    rollouts: int = 4
    """Of each scene, in an update."""
    objective: Objective = field(default_factory=Objective)
    reward_scale: Literal["none", "batch_std"] = "none"
    """``"batch_std"``: rewards are divided by their standard deviation over all rollouts of the update."""
    agents: Literal["all", "evaluated"] = "all"
    """Whose decisions are rewarded: of everybody, since all have a part in the reward, or of the evaluated alone. With
    credit by agent it is always the evaluated."""
    leash: KlControl = field(default_factory=KlControl)
    entropy: float = 0.0
    """Bonus for entropy, in rewards per nat."""

    def __post_init__(self) -> None:
        check_whole(self, rollouts=2)
        if self.reward_scale not in ("none", "batch_std"):
            raise ConfigError(f"reward_scale is {self.reward_scale!r}; it is 'none' or 'batch_std'")
        if self.agents not in ("all", "evaluated"):
            raise ConfigError(f"agents is {self.agents!r}; it is 'all' or 'evaluated'")


@dataclass(frozen=True, kw_only=True, eq=False)
class Experience:
    """S scenes, R rollouts of each, and what they earned."""

    batch: Batch
    """As it was driven, ``S R`` groups of agents."""
    judged: tuple[Judged, ...]
    """Of each scene."""
    tracks: tuple[np.ndarray, ...]
    """Of each scene, ``[R, A, 80, 4]``."""
    reward: Tensor
    """float32 (N,) of each agent of the batch, not scaled; 0 for those whose decisions are not rewarded."""

    @property
    def mean_square(self) -> float:
        """Of the rewards, a mean over scenes."""
        return float(np.mean([np.square(judged.rewards).mean() for judged in self.judged]))


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicyLoss:
    """Means over n decisions."""

    total: Tensor
    """Scalar, with gradient."""
    count: int
    kl: float
    """Nats, from the reference."""
    entropy: float
    """Nats."""
    lost: int
    """Decisions at the edge of the truncated support, off which rounding has moved them; they are left out."""


def judge(
    method: Reinforce,
    driven: Driven,
    realisms: Sequence[Realism],
    tokens: Sequence[SceneTokens],
    goals: Sequence[np.ndarray | None] | None = None,
) -> Experience:
    """Say what rollouts earn.

    Args:
        method: What for.
        driven: R rollouts of each scene, ``actor.roll_out(batch, method.rollouts, rngs)``.
        realisms: Of each scene.
        tokens: Of each scene.
        goals: Of all tracks of each scene, ``[A, 2]`` m; see `Objective`.
    """
    num = method.rollouts
    reward = torch.zeros(len(driven.steps))
    judged, tracks, first = [], [], 0
    for s, (realism, of_scene) in enumerate(zip(realisms, tokens, strict=True)):
        last = first + num * len(of_scene.agents)
        rollouts = as_tracks(realism.scene, of_scene, driven.steps[first:last], in_source=driven.in_source)
        found = method.objective(realism, rollouts, None if goals is None else goals[s])
        by_agent = _by_agent(found.rewards, method, realism, of_scene.agents.track)
        reward[first:last] = torch.from_numpy(by_agent.astype(np.float32).ravel())
        judged.append(found)
        tracks.append(rollouts)
        first = last
    return Experience(batch=driven.batch, judged=tuple(judged), tracks=tuple(tracks), reward=reward)


def _by_agent(rewards: Float64, method: Reinforce, realism: Realism, track: np.ndarray) -> Float64:
    """Rewards ``[R]`` or ``[R, E]`` of a scene as rewards of its agents, ``[R, N]``."""
    of_tracks = np.zeros((method.rollouts, realism.scene.num_agents))
    if rewards.ndim == 2 or method.agents == "evaluated":
        of_tracks[:, realism.evaluated_tracks] = rewards if rewards.ndim == 2 else rewards[:, None]
    else:
        of_tracks[:] = rewards[:, None]
    return of_tracks[:, track]


def policy_loss(
    actor: Actor,
    experience: Experience,
    method: Reinforce,
    leash: Leash,
    *,
    scale: float = 1.0,
    map_features: Tensor | None = None,
) -> PolicyLoss:
    """The negative objective of one update, a mean over decisions.

    Args:
        actor: Whose network learns.
        experience: What it has just done; older experience would need importance weights, which there are none of.
        method: Settings.
        leash: The reference, and what a divergence from it costs.
        scale: Rewards are divided by it; see `reward_scale`.
        map_features: See `SmartNetwork.forward`.
    """
    batch = experience.batch
    made = actor.decisions(actor.network, batch, map_features)
    log_prob = made.distribution.log_prob(made.action)
    inside = log_prob > -torch.inf
    reward = (experience.reward / scale)[made.agent]
    gain = torch.where(inside, reward * torch.where(inside, log_prob, 0.0), 0.0).mean()
    entropy = made.distribution.entropy().mean()
    total = -gain - method.entropy * entropy
    kl = torch.zeros(())
    if leash.control.coefficient:
        with torch.no_grad():
            reference = actor.decisions(leash.reference, batch, map_features).distribution
        kl = made.distribution.kl(reference).mean()
        total = total + leash.coefficient * kl
    return PolicyLoss(
        total=total,
        count=len(made.agent),
        kl=float(kl.detach()),
        entropy=float(entropy.detach()),
        lost=int((~inside).sum()),
    )


def reward_scale(method: Reinforce, mean_square: float) -> float:
    """What rewards are divided by: 1, or their root mean square over the update (their mean is 0)."""
    return mean_square**0.5 or 1.0 if method.reward_scale == "batch_std" else 1.0
