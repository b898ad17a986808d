"""How a token is picked from its logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym_agents.policies.distributions import TokenDistribution
from trafficgym_agents.policies.smart.decoding import Decision
from trafficgym_agents.policies.smart.likeliest import likeliest

Tensor = Any


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Sample from the likeliest tokens: a `decoding.Choose`.

    Raises:
        ConfigError: a value makes no sense.
    """

    top_k: int | None = 5
    """Only the k likeliest (METHODS.md A.6: 5 in SMART, 48 in CAT-K's submission); 1 is greedy; None: all. Labels are
    smoothed in training, so that a tail of unlikely tokens is likelier than it should be."""
    top_p: float | None = None
    """Only the likeliest that together have this probability (nucleus sampling); None: all."""
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_whole(self, top_k=1)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p!r}; it is a probability, larger than 0")
        if not self.temperature > 0:
            raise ConfigError(f"temperature is {self.temperature!r}; it must be positive (top_k=1 is greedy)")

    def __call__(self, decision: Decision) -> Tensor:
        """Pick tokens, int64 ``[N]``."""
        if self.top_k == 1:
            return decision.logits.argmax(-1)
        return self.draw(decision.logits, decision.uniform(1))[:, 0]

    def support(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens that may be drawn and their log-probabilities, ``[N, k]`` each, likeliest first.

        Probabilities are renormalised over the support; those outside the nucleus are -inf.
        """
        k = min(self.top_k or logits.shape[-1], logits.shape[-1])
        tokens = likeliest(logits, k)
        log_probability = (logits.gather(1, tokens) / self.temperature).log_softmax(-1)
        if self.top_p is None:
            return tokens, log_probability
        before = log_probability.exp().cumsum(-1) - log_probability.exp()
        inside = log_probability.masked_fill(before >= self.top_p, -torch.inf)
        return tokens, inside.log_softmax(-1)

    def distribution(self, logits: Tensor) -> TokenDistribution:
        """What tokens are drawn from, by logits ``[N, V]``."""
        tokens, log_probability = self.support(logits)
        return TokenDistribution(logits=logits / self.temperature, support=tokens, log_probability=log_probability)

    def draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Tokens ``[N, K]`` from logits ``[N, V]`` and numbers in [0, 1), ``[N, K]``."""
        return self.distribution(logits).sample(uniform)


GREEDY = Sampling(top_k=1)
"""The likeliest token."""
