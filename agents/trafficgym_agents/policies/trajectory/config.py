"""The sizes of the trajectory policy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym_agents.policies.smart.config import STEPS_PER_TOKEN, SmartConfig, preset

MOST_STEPS = 40


@names_nearest
@dataclass(frozen=True, kw_only=True)
class TrajectoryConfig:
    """Sizes of a `TrajectoryNetwork`.

    Raises:
        ConfigError: a value makes no sense.
    """

    trunk: SmartConfig = field(default_factory=lambda: preset("micro"))
    """Of the layers that see; its head is not used."""
    horizon: int = 20
    """H: steps of 0.1 s that a decision reaches ahead, a multiple of 5; the first 5 are executed."""

    def __post_init__(self) -> None:
        check_whole(self, horizon=STEPS_PER_TOKEN)
        if self.horizon > MOST_STEPS or self.horizon % STEPS_PER_TOKEN:
            raise ConfigError(
                f"horizon is {self.horizon}; it is a multiple of {STEPS_PER_TOKEN}, {MOST_STEPS} steps at most"
            )
        if self.trunk.zero_fill_quirk:
            raise ConfigError("trunk: zero_fill_quirk is for real CAT-K checkpoints, which have no trajectories")

    @property
    def segments(self) -> int:
        """S: half seconds that a decision reaches ahead."""
        return self.horizon // STEPS_PER_TOKEN

    def plain(self) -> dict[str, Any]:
        """As mappings and numbers, for a checkpoint's card."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> TrajectoryConfig:
        """From what `plain` gave."""
        return cls(**values | {"trunk": SmartConfig(**values["trunk"])})
