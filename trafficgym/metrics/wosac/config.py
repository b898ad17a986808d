"""The configurations of the Waymo Open Sim Agents Challenge, one a year and challenge (WOSAC.md section 10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, names_nearest, nearest_key

Bucket = Literal["kinematic", "interactive", "map"]

BUCKETS: Mapping[str, Bucket] = MappingProxyType(
    {
        "linear_speed": "kinematic",
        "linear_acceleration": "kinematic",
        "angular_speed": "kinematic",
        "angular_acceleration": "kinematic",
        "distance_to_nearest_object": "interactive",
        "collision_indication": "interactive",
        "time_to_collision": "interactive",
        "distance_to_road_edge": "map",
        "offroad_indication": "map",
        "traffic_light_violation": "map",
    }
)
"""Every feature, in the order of the official proto, and the bucket that it counts for."""


@names_nearest
@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """How the likelihood of one feature is estimated, and what it weighs in the meta-metric.

    Raises:
        ConfigError: a value makes no sense.
    """

    weight: float
    low: float = -0.5
    """Lower end of the histogram, in the feature's unit; what lies below counts as if it lay there."""
    high: float = 1.5
    bins: int = 2
    pseudocount: float = 0.1
    """Added to the count of every bin."""
    is_bernoulli: bool = False
    """One flag per object and rollout, whether it happened at any step, instead of a value at every step."""
    independent_timesteps: bool = True
    """One histogram over all steps; otherwise one for every step."""
    aggregate_objects: bool = False
    """One histogram over all objects; otherwise one for every object."""

    def __post_init__(self) -> None:
        if not self.low < self.high or self.bins < 1:
            raise ConfigError(f"a histogram needs low < high and bins >= 1, got {self.low}, {self.high}, {self.bins}")
        if not self.pseudocount > 0:
            raise ConfigError(
                f"pseudocount is {self.pseudocount}; it must be positive, or empty bins have no logarithm"
            )

    @property
    def edges(self) -> NDArray[np.float32]:
        """Edges of the bins, float32 ``[bins + 1]``, with the rounding of TensorFlow's ``linspace``."""
        low, high = np.float32(self.low), np.float32(self.high)
        step = (high - low) / np.float32(self.bins)
        edges = low + step * np.arange(self.bins + 1, dtype=np.float32)
        edges[-1] = high
        return edges


@names_nearest
@dataclass(frozen=True, kw_only=True)
class WosacConfig:
    """One edition of the metric.

    Raises:
        ConfigError: a feature is unknown, or the steps make no sense.
    """

    name: str
    features: Mapping[str, FeatureConfig]
    ttc_of_vehicles_only: bool = True
    """Since March 2025; before, time to collision was scored for pedestrians and cyclists, too."""
    evaluate_all: bool = False
    """Score every simulated object, not only the SDC and the tracks to predict."""
    first_step: int = 11
    """Scene step at which simulation begins; steps before it are taken from the log."""
    num_steps: int = 80
    """Simulated steps of 0.1 s."""

    def __post_init__(self) -> None:
        for name in self.features:
            if name not in BUCKETS:
                raise ConfigError(f"no feature is called {name!r}; {nearest_key(name, BUCKETS)}")
        if self.first_step < 0 or self.num_steps < 1:
            raise ConfigError(f"first_step is {self.first_step}, num_steps {self.num_steps}; they must not be negative")

    @property
    def end_step(self) -> int:
        """The step after the last one: scenes must be this long."""
        return self.first_step + self.num_steps


def _bernoulli(weight: float, *, aggregate_objects: bool = False) -> FeatureConfig:
    return FeatureConfig(weight=weight, pseudocount=0.001, is_bernoulli=True, aggregate_objects=aggregate_objects)


def _histogram(weight: float, low: float, high: float, bins: int) -> FeatureConfig:
    return FeatureConfig(weight=weight, low=low, high=high, bins=bins)


_2023 = {
    "linear_speed": _histogram(0.09, 0.0, 35.0, 10),
    "linear_acceleration": _histogram(0.09, -15.0, 15.0, 10),
    "angular_speed": _histogram(0.09, -31.5, 31.5, 10),
    "angular_acceleration": _histogram(0.09, -31.5, 31.5, 10),
    "distance_to_nearest_object": _histogram(0.09, -5.0, 40.0, 10),
    "collision_indication": _bernoulli(0.18),
    "time_to_collision": _histogram(0.09, 0.0, 5.0, 10),
    "distance_to_road_edge": _histogram(0.09, -20.0, 40.0, 10),
    "offroad_indication": _bernoulli(0.18),
}
_2024 = {
    "linear_speed": _histogram(0.05, 0.0, 25.0, 10),
    "linear_acceleration": _histogram(0.05, -12.0, 12.0, 11),
    "angular_speed": _histogram(0.05, -0.628, 0.628, 11),
    "angular_acceleration": _histogram(0.05, -3.14, 3.14, 11),
    "distance_to_nearest_object": _histogram(0.10, -5.0, 40.0, 10),
    "collision_indication": _bernoulli(0.25),
    "time_to_collision": _histogram(0.10, 0.0, 5.0, 10),
    "distance_to_road_edge": _histogram(0.10, -20.0, 40.0, 10),
    "offroad_indication": _bernoulli(0.25),
    "traffic_light_violation": _bernoulli(0.0),
}
_2025 = _2024 | {
    "distance_to_road_edge": _histogram(0.05, -20.0, 40.0, 10),
    "traffic_light_violation": _bernoulli(0.05),
}
_SCENARIO_GEN = {
    name: replace(feature, aggregate_objects=name != "traffic_light_violation") for name, feature in _2025.items()
}

CONFIGS: Mapping[str, WosacConfig] = MappingProxyType(
    {
        config.name: config
        for config in (
            WosacConfig(name="2023", features=_2023),
            WosacConfig(name="2024", features=_2024),
            WosacConfig(
                name="2024_leaderboard",
                features={name: feature for name, feature in _2024.items() if feature.weight > 0},
                ttc_of_vehicles_only=False,
            ),
            WosacConfig(name="2025", features=_2025),
            WosacConfig(
                name="2025_scenario_gen", features=_SCENARIO_GEN, evaluate_all=True, first_step=0, num_steps=91
            ),
        )
    }
)
"""``"2023"`` and ``"2024"`` are those years' weights and ranges under the code of 2025; ``"2024_leaderboard"`` is what
the server computed in 2024; that of 2023 used other features altogether (WOSAC.md section 11) and is not here."""


def find_config(config: str | WosacConfig) -> WosacConfig:
    """Return the configuration of that name, or `config` itself.

    Raises:
        ConfigError: there is none of that name.
    """
    if isinstance(config, WosacConfig):
        return config
    if config not in CONFIGS:
        raise ConfigError(f"no WOSAC config is called {config!r}; {nearest_key(str(config), CONFIGS)}")
    return CONFIGS[config]
