"""The lines of a table of realism, in the terminal and on the page alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trafficgym.metrics.bootstrap import Interval
from trafficgym.metrics.wosac import BUCKETS, FeatureConfig, Score, WosacConfig
from trafficgym.metrics.wosac.config import Bucket

TITLES: dict[Bucket, str] = {"kinematic": "Kinematic", "interactive": "Interactive", "map": "Map-based"}
UNITS = {
    "linear_speed": "m/s",
    "linear_acceleration": "m/s²",
    "angular_speed": "rad/s",
    "angular_acceleration": "rad/s²",
    "distance_to_nearest_object": "m",
    "time_to_collision": "s",
    "distance_to_road_edge": "m",
}
"""Units of the features that have a histogram."""
RATES = {"collision": "collide", "offroad": "off-road", "traffic_light_violation": "run a red light"}
CAPTION = (
    "Scores and likelihoods lie between 0 and 1, more is better; but the log itself, replayed, reaches about 0.8 on "
    "recorded scenes and not 1.0, because one histogram stands for all steps of an agent: compare with its column."
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One number of a score."""

    label: str
    value: Callable[[Score], float | None]
    unit: str = ""  # "%", "m", or none for scores
    weight: float | None = None  # in the meta-metric, of likelihoods
    ends_group: bool = False

    def text(self, score: Score) -> str:
        """The value for readers; a dash where there is none."""
        value = self.value(score)
        if value is None or math.isnan(value):
            return "-"
        if self.unit == "%":
            return f"{100 * value:.1f}"
        return f"{value:.2f}" if self.unit else f"{value:.4f}"

    @property
    def title(self) -> str:
        """Label, with the unit or the weight."""
        if self.weight is not None:
            return f"{self.label} ({self.weight:g})"
        return f"{self.label} [{self.unit}]" if self.unit else self.label


META = Line(label="realism meta-metric", value=lambda score: score.metametric, ends_group=True)


def lines(config: WosacConfig) -> Iterator[Line]:
    """The meta-metric, the buckets each with its likelihoods, the rates, and the distances to the log."""
    yield META
    for bucket, title in TITLES.items():
        names = [name for name in config.features if BUCKETS[name] == bucket]
        yield Line(label=title, value=lambda score, bucket=bucket: score.buckets[bucket])  # type: ignore[misc]
        for name in names:
            yield _likelihood(name, config.features[name], ends_group=name == names[-1])
    for name, label in RATES.items():
        yield Line(label=label, value=lambda score, name=name: score.rates.get(name), unit="%")  # type: ignore[misc]
    yield Line(label="minADE", value=lambda score: score.min_ade, unit="m")
    yield Line(label="ADE", value=lambda score: score.ade, unit="m", ends_group=True)


def label(feature: str) -> str:
    """The name of a feature for readers."""
    return feature.replace("_", " ").replace("offroad", "off-road").removesuffix(" indication")


def bracket(interval: Interval | None) -> str:
    """The bounds of the meta-metric; of a single scene there are none, since nothing is known about others."""
    if interval is None:
        return ""
    return "(1 scene)" if interval.num_scenes == 1 else f"[{interval.low:.4f}, {interval.high:.4f}]"


def _likelihood(name: str, config: FeatureConfig, *, ends_group: bool) -> Line:
    return Line(
        label=f"  {label(name)}",
        value=lambda score: score.likelihoods.get(name),
        weight=config.weight,
        ends_group=ends_group,
    )
