"""The leash to a reference policy: how strong it is, and how the reference follows."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trafficgym.errors import ConfigError, check_whole, names_nearest


@names_nearest
@dataclass(frozen=True, kw_only=True)
class KlControl:
    """An adaptive coefficient of the divergence from a reference (METHODS.md D.2; Ziegler et al. 2019, section 2.2).

    After each update, ``beta <- beta (1 + clip(kl / target - 1, -0.2, 0.2) / horizon)``, within limits.

    Raises:
        ConfigError: a value makes no sense.
    """

    coefficient: float = 0.01
    """Beta at first, in rewards per nat. The paper does not say; 0 for no leash at all."""
    target: float | None = 0.01
    """Nats, mean over agents and tokens; None: the coefficient stays."""
    horizon: float = 5.0
    """Updates in which the coefficient can change by a fifth."""
    least: float = 1e-3
    most: float = 1e3
    sync_every: int | None = 500
    """Updates after which the reference follows a little; None: never."""
    sync_rate: float = 0.005
    """``reference <- rate policy + (1 - rate) reference``."""

    def __post_init__(self) -> None:
        check_whole(self, sync_every=1)
        if self.coefficient < 0:
            raise ConfigError(f"coefficient is {self.coefficient!r}; it must be 0 or more")
        if self.target is not None and not self.target > 0:
            raise ConfigError(f"target is {self.target!r}; it is a divergence in nats, larger than 0, or None")
        if not self.horizon > 0 or not 0 < self.least <= self.most or not 0 <= self.sync_rate <= 1:
            raise ConfigError(f"{self}: horizon and least must be positive, least <= most, sync_rate a share")


class Leash:
    """A reference, and the coefficient of the divergence from it.

    Args:
        network: The reference begins as a copy of it.
        control: How it changes.
    """

    def __init__(self, network: nn.Module, control: KlControl) -> None:
        self.reference = copy.deepcopy(network).eval().requires_grad_(False)
        self.control, self.coefficient, self.updates = control, control.coefficient, 0

    def follow(self, network: nn.Module, kl: float) -> None:
        """After an update of the policy: adapt the coefficient to the divergence, nats, and let the reference follow.

        Workers must pass the same divergence.
        """
        control = self.control
        self.updates += 1
        if control.target is not None and self.coefficient:
            error = min(max(kl / control.target - 1, -0.2), 0.2)
            self.coefficient = min(max(self.coefficient * (1 + error / control.horizon), control.least), control.most)
        if control.sync_every is not None and self.updates % control.sync_every == 0:
            with torch.no_grad():
                for own, other in zip(self.reference.parameters(), network.parameters(), strict=True):
                    own.lerp_(other, control.sync_rate)

    def state_dict(self) -> dict[str, Any]:
        return {
            "reference": self.reference.state_dict(),
            "coefficient": self.coefficient,
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.reference.load_state_dict(state["reference"])
        self.coefficient, self.updates = float(state["coefficient"]), int(state["updates"])
