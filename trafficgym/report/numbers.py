"""How metrics are written, in the terminal and on the page alike."""

from __future__ import annotations

from trafficgym.metrics.bootstrap import Interval
from trafficgym.metrics.summary import METRICS, Metric

GROUPS = {
    "Infractions and goals": METRICS[:7],
    "Distance to the log": METRICS[7:12],
    "Distribution against the log": METRICS[12:16],
    "Criticality": METRICS[16:],
}
"""The metrics in groups, by title."""


def title(metric: Metric) -> str:
    """Name and unit."""
    return f"{metric.label} [{metric.unit}]"


def number(metric: Metric, value: float) -> str:
    """A value in the unit of its metric, with three figures or so."""
    if metric.unit == "%":
        return f"{100 * value:.1f}".replace("100.0", "100")
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}"


def span(metric: Metric, interval: Interval) -> str:
    """The bounds of an interval; of a single scene there are none, since nothing is known about others."""
    if interval.num_scenes == 1:
        return "(1 scene)"
    return f"[{number(metric, interval.low)}, {number(metric, interval.high)}]"
