"""RoaD's recovery mode: who strays too far from the log is led back to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym_agents.policies.smart.config import NUM_TOKENS, STEPS_PER_TOKEN
from trafficgym_agents.policies.trajectory.plans import DT

Tensor = Any


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Recovery:
    """When and how a trajectory is blended with the log (METHODS.md C, paper eqs. 7 and 8).

    Raises:
        ConfigError: a value makes no sense.
    """

    trigger_m: float = 3.0
    """A trajectory further from the log than this is blended with it."""
    ramp_steps: int = 30
    """N_rec: after so many steps of 0.1 s the blend is the log."""
    off_last_s: float = 4.0
    """s; nobody is led back when less than this is left of the scene."""

    def __post_init__(self) -> None:
        check_whole(self, ramp_steps=1)
        for name in ("trigger_m", "off_last_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be 0 or more")

    def is_on(self, slot: int) -> bool:
        """Whether it is on for a decision at the beginning of a slot."""
        left = (NUM_TOKENS - slot) * STEPS_PER_TOKEN * DT
        return left >= self.off_last_s - 1e-9

    def blend(self, trajectory: Tensor, log: Tensor) -> Tensor:
        """``(1 - l_k) trajectory + l_k log`` with ``l_k = min(1, k / N_rec)``, poses ``[..., H, 3]`` in one frame."""
        steps = torch.arange(1, trajectory.shape[-2] + 1, device=trajectory.device)
        share = (steps / self.ramp_steps).clamp(max=1.0)[:, None]
        return trajectory + share * (log - trajectory)
