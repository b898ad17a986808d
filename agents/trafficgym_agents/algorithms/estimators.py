"""How well rewards tell good rollouts from bad: their variance, and signal and noise of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.metrics.wosac import Realism
from trafficgym_agents.algorithms.actors import Actor
from trafficgym_agents.algorithms.objective import Objective
from trafficgym_agents.algorithms.reinforce import Experience

Tensor = Any
Float64 = NDArray[np.float64]


def reward_variance(
    objective: Objective, realism: Realism, rollouts: NDArray[np.floating], sizes: Sequence[int]
) -> Float64:
    """Variance of the rewards of a scene in groups of so many rollouts, ``[len(sizes)]``.

    Rollouts are divided into groups without any left twice; the mean of a group's rewards is 0, and so the variance is
    the mean of squares. RLFTSim's proposition 3 has it fall as ``1 / R^2`` for MLOO and stay for RLOO.

    Args:
        objective: What rewards are for.
        realism: Of the scene.
        rollouts: ``[n, A, 80, 4]``.
        sizes: R of the groups, from 2 to n.

    Raises:
        ConfigError: a size is out of these bounds.
    """
    if not all(2 <= size <= len(rollouts) for size in sizes):
        raise ConfigError(f"sizes are {list(sizes)}; with {len(rollouts)} rollouts they are from 2 to {len(rollouts)}")
    found = []
    for size in sizes:
        groups = [rollouts[i : i + size] for i in range(0, len(rollouts) - size + 1, size)]
        found.append(np.mean([np.square(objective(realism, group).rewards).mean() for group in groups]))
    return np.array(found)


def power_law(sizes: Sequence[int], variances: Float64) -> float:
    """The exponent: slope of the logarithm of the variance against that of the size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(variances), 1)[0])


@dataclass(frozen=True)
class Signal:
    """Of n independent gradients."""

    signal: float
    """Square of the length of their expectation; an unbiased estimate, which may be negative where noise is all."""
    noise: float
    """Trace of their covariance: mean squared distance of one from the expectation."""

    @property
    def ratio(self) -> float:
        """Signal to noise, of one gradient; n of them, averaged, have n times as much."""
        return self.signal / self.noise if self.noise else np.inf


def signal_and_noise(gradients: Tensor | NDArray[np.floating]) -> Signal:
    """Of gradients, one in each row, ``[n, P]``, two at least."""
    rows = np.asarray(gradients, np.float64)
    num, mean = len(rows), rows.mean(0)
    if num < 2:
        raise ConfigError(f"there are {num} gradients; noise shows between two at least")
    noise = float(np.square(rows - mean).sum() / (num - 1))
    return Signal(signal=float(np.square(mean).sum() - noise / num), noise=noise)


def reward_gradients(
    actor: Actor, experience: Experience, rewards: Sequence[Tensor], map_features: Tensor | None = None
) -> Tensor:
    """Gradients of one experience for other rewards, from one pass forward, float32 ``[len(rewards), P]``.

    Args:
        actor: Whose parameters; those that learn count.
        experience: What was done.
        rewards: By agent of the batch, ``[N]`` each.
        map_features: See `SmartNetwork.forward`.
    """
    parameters = [p for p in actor.network.parameters() if p.requires_grad]
    made = actor.decisions(actor.network, experience.batch, map_features)
    log_prob = made.distribution.log_prob(made.action)
    inside = log_prob > -torch.inf
    log_prob = torch.where(inside, log_prob, 0.0)

    def gradient(reward: Tensor) -> Tensor:
        gain = (reward[made.agent] * log_prob).mean()
        parts = torch.autograd.grad(gain, parameters, retain_graph=True, allow_unused=True)
        flat = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, parts, strict=True)]
        return torch.cat([g.flatten() for g in flat])

    return torch.stack([gradient(reward) for reward in rewards])
