"""What nominal scenes are drawn from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

from trafficgym.errors import ConfigError, check_whole, names_nearest, nearest_key
from trafficgym_scenarios.roads import ROADS, Interval

CURRENT_STEP = 10
MOST_AGENTS = 100


@names_nearest
@dataclass(frozen=True, kw_only=True)
class NominalConfig:
    """What `nominal_scene` draws from.

    Raises:
        ConfigError: an option is unknown or makes no sense.
    """

    roads: str | tuple[str, ...] = "any"
    """Kinds of road (`trafficgym_scenarios.roads.ROADS`) of which one is drawn, or ``"any"``."""
    num_agents: Interval = Interval(12, 24)
    """Road users of all types."""
    num_steps: int = 91
    """10 Hz; 91 is 9 s, 201 is 20 s; step 10 is now."""
    trucks: Interval = Interval(0.0, 0.2)
    """Share of the vehicles; one value is drawn per scene, here and below."""
    pedestrians: Interval = Interval(0.1, 0.3)
    """Share of the road users, where there are crosswalks."""
    cyclists: Interval = Interval(0.0, 0.15)
    """Share of the road users, where the speed limit is at most 18 m/s."""
    spacing: Interval = Interval(15.0, 60.0, "m")
    """Length of lane for each vehicle, on average."""

    def __post_init__(self) -> None:
        kinds = (self.roads,) if isinstance(self.roads, str) else self.roads
        if not kinds:
            raise ConfigError("roads is empty; name at least one kind, or say 'any'")
        for kind in kinds:
            if kind not in ROADS and kind != "any":
                raise ConfigError(f"no kind of road is called {kind!r}; {nearest_key(kind, ['any', *ROADS])}")
        self.num_agents.check("num_agents", 1, MOST_AGENTS)
        check_whole(self, num_steps=CURRENT_STEP + 1)
        for name in ("trucks", "pedestrians", "cyclists"):
            getattr(self, name).check(name, 0.0, 1.0)
        if self.pedestrians.high + self.cyclists.high >= 1.0:
            raise ConfigError(
                f"up to {self.pedestrians.high:.0%} pedestrians and {self.cyclists.high:.0%} cyclists leave no vehicles"
            )
        self.spacing.check("spacing", 12.0, 1000.0)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of road, in a fixed order."""
        wanted = (self.roads,) if isinstance(self.roads, str) else self.roads
        return tuple(ROADS) if "any" in wanted else tuple(kind for kind in ROADS if kind in wanted)

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ between configurations."""
        values = [f"{f.name}={self.kinds if f.name == 'roads' else getattr(self, f.name)!r}" for f in fields(self)]
        return hashlib.sha256(";".join(values).encode()).hexdigest()[:8]
