"""Distributions over the actions of many agents, whatever an action is: what learning algorithms need of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch

Tensor = Any


class Distribution(Protocol):
    """Of the actions of n agents; an action is an array of shape ``[*A]``, or a number."""

    @property
    def num_draws(self) -> int:
        """Uniform numbers that one sample takes."""
        ...

    @property
    def mode(self) -> Tensor:
        """The likeliest actions, ``[n, *A]``."""
        ...

    def sample(self, uniform: Tensor) -> Tensor:
        """K actions of each agent, ``[n, K, *A]``, from numbers in [0, 1), ``[n, K num_draws]``."""
        ...

    def log_prob(self, action: Tensor) -> Tensor:
        """Logarithm of the probability, or of the density, of actions ``[n, *A]``; ``[n]`` nats."""
        ...

    def entropy(self) -> Tensor:
        """``[n]`` nats."""
        ...

    def kl(self, reference: Self) -> Tensor:
        """Kullback-Leibler divergence from a reference to this, ``[n]`` nats."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenDistribution:
    """Over the tokens that may be drawn: a few of all, whose probabilities are renormalised (METHODS.md D.2)."""

    logits: Tensor  # (n, V), -inf beyond a class's tokens
    support: Tensor  # int64 (n, k): tokens that may be drawn
    log_probability: Tensor  # (n, k): theirs; -inf for those that may not be drawn after all

    @property
    def num_draws(self) -> int:
        return 1

    @property
    def mode(self) -> Tensor:
        return self.support.gather(1, self.log_probability.argmax(-1, keepdim=True))[:, 0]

    def sample(self, uniform: Tensor) -> Tensor:
        total = self.log_probability.exp().cumsum(-1)
        place = torch.searchsorted(total, uniform * total[:, -1:], right=True)
        # Rounding may lead beyond the last token that has any probability.
        last = (self.log_probability > -torch.inf).sum(-1, keepdim=True) - 1
        return self.support.gather(1, torch.minimum(place, last))

    def log_prob(self, action: Tensor) -> Tensor:
        """-inf for tokens that may not be drawn."""
        found = self.log_probability.masked_fill(self.support != action[:, None], -torch.inf)
        return found.max(-1).values

    def entropy(self) -> Tensor:
        return -_expected(self.log_probability, self.log_probability)

    def kl(self, reference: Self) -> Tensor:
        """To a reference that is renormalised over this one's support; temperatures are those of its logits."""
        other = reference.logits.gather(1, self.support)
        other = other.masked_fill(self.log_probability == -torch.inf, -torch.inf).log_softmax(-1)
        return _expected(self.log_probability, self.log_probability) - _expected(self.log_probability, other)


def _expected(log_probability: Tensor, values: Tensor) -> Tensor:
    there = log_probability > -torch.inf
    return torch.where(there, log_probability.exp() * torch.where(there, values, 0.0), 0.0).sum(-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussian:
    """Independent numbers, each normally distributed."""

    mean: Tensor  # (n, *A)
    sigma: Tensor  # (n, *A), positive

    def __len__(self) -> int:
        return int(self.mean.shape[0])

    def __getitem__(self, rows: Any) -> Gaussian:
        """Of some agents, or of a part of their actions: an index into ``[n, *A]``."""
        return Gaussian(mean=self.mean[rows], sigma=self.sigma[rows])

    @property
    def num_draws(self) -> int:
        return math.prod(self.mean.shape[1:])

    @property
    def mode(self) -> Tensor:
        return self.mean

    def tempered(self, temperature: float) -> Gaussian:
        """The density to the power of ``1 / temperature``, renormalised, as dividing logits does for tokens."""
        return Gaussian(mean=self.mean, sigma=self.sigma * math.sqrt(temperature))

    def sample(self, uniform: Tensor) -> Tensor:
        uniform = uniform.view(len(self), -1, *self.mean.shape[1:])
        # In double, and off the edge: the quantile of 0 is infinite.
        normal = torch.special.ndtri(uniform.double() + 2.0**-25).to(self.mean.dtype)
        return self.mean[:, None] + self.sigma[:, None] * normal

    def log_density(self, action: Tensor) -> Tensor:
        """Of each number of actions ``[n, *A]`` by itself, in the same shape."""
        away = (action - self.mean) / self.sigma
        return -0.5 * away**2 - self.sigma.log() - 0.5 * math.log(2 * math.pi)

    def log_prob(self, action: Tensor) -> Tensor:
        return self.log_density(action).flatten(1).sum(-1)

    def entropy(self) -> Tensor:
        return (self.sigma.log() + 0.5 * math.log(2 * math.pi * math.e)).flatten(1).sum(-1)

    def kl(self, reference: Self) -> Tensor:
        ratio = (self.sigma / reference.sigma) ** 2
        shift = ((self.mean - reference.mean) / reference.sigma) ** 2
        return (0.5 * (ratio + shift - 1 - ratio.log())).flatten(1).sum(-1)
