"""Cross-entropy over motion tokens, with the two ways of smoothing labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from trafficgym.errors import ConfigError, names_nearest
from trafficgym_agents.policies.smart.network import SmartNetwork

Tensor = Any


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """What part of a label goes to other tokens than the target, and to which ones."""

    share: float = 0.1
    """0.1 in behaviour cloning, 0 in closed-loop fine-tuning (METHODS.md A.5)."""
    kind: Literal["plain", "spatial"] = "spatial"
    """``"plain"``: all tokens of the class alike. ``"spatial"``: by ``1 / d^2``, d the mean distance of corners between
    the ends of the two templates (TrajTok; METHODS.md A.3)."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ConfigError(f"share is {self.share!r}; it is a part of a label, 0 or more and less than 1")
        if self.kind not in ("plain", "spatial"):
            raise ConfigError(f"kind is {self.kind!r}; it is 'plain' or 'spatial'")


NO_SMOOTHING = Smoothing(share=0.0)


def cross_entropy(
    network: SmartNetwork, logits: Tensor, targets: Tensor, type: Tensor, smoothing: Smoothing = NO_SMOOTHING
) -> Tensor:
    """Loss of each node, ``[n]``.

    Args:
        network: Its vocabulary, for spatial smoothing.
        logits: ``[n, V]``, -inf beyond a class's tokens.
        targets: ``[n]``.
        type: Class of each node, ``[n]``.
        smoothing: Of labels.
    """
    log_probability = logits.log_softmax(-1)
    loss = -log_probability.gather(1, targets[:, None])[:, 0]
    if not smoothing.share:
        return loss
    others = torch.where(log_probability > -torch.inf, log_probability, 0.0)
    if smoothing.kind == "plain":
        rest = -others.sum(-1) / network.sizes[type]
    else:
        rest = -(others * nearness(network, type, targets)).sum(-1)
    return (1 - smoothing.share) * loss + smoothing.share * rest


def nearness(network: SmartNetwork, type: Tensor, targets: Tensor) -> Tensor:
    """The share of each other token, ``[n, V]``: ``1 / d^2`` over its sum; 0 for the target itself."""
    weight = network.distances(type, targets).clamp(min=1e-3).pow(-2)
    weight = weight.scatter(1, targets[:, None], 0.0)
    weight = weight * (torch.arange(weight.shape[1], device=targets.device) < network.sizes[type][:, None])
    return weight / weight.sum(-1, keepdim=True).clamp(min=1e-12)
