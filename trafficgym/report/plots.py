"""The plots of the page as SVG, by matplotlib, which comes with ``trafficgym[baselines]``."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from trafficgym.metrics.distribution import FeatureBins, jensen_shannon
from trafficgym.metrics.summary import METRICS, SceneMeasures, by_policy, pooled_histogram
from trafficgym.report.evaluation import Evaluation
from trafficgym.report.forest import color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = {
    "acceleration": "acceleration [m/s²]",
    "speed": "speed [m/s]",
    "lateral_offset": "lateral offset to the lane centre line [m]",
    "lead_distance": "distance to lead [m]",
}
PER_SCENE = ("collision", "off_road", "ade", "fde_5s")
LEGEND: Any = {
    "fontsize": 8,
    "frameon": False,
    "ncols": 4,
    "columnspacing": 1.2,
    "handlelength": 1.2,
    "loc": "lower left",
    "bbox_to_anchor": (-0.02, 1.0),  # above the axes, where it hides nothing
}
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "trafficgym", "font.family": "sans-serif", "font.size": 9}


def is_available() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def histograms(evaluation: Evaluation) -> str:
    """SVG: each feature's distribution in the log (grey area) and under each policy (line)."""
    figure, axes = grid(len(AXES), 2.7)
    groups = by_policy(evaluation.measures)
    for axis, (feature, label) in zip(axes, AXES.items(), strict=True):
        edges = FeatureBins().of(feature).edges
        first = next(iter(groups.values()))
        axis.stairs(density(pooled_histogram(first, feature)[1], edges), edges, fill=True, color="#d7dbe0", label="log")
        for index, (policy, scenes) in enumerate(groups.items()):
            if policy == "log":
                continue  # the replayed log is the grey area itself
            simulated, logged = pooled_histogram(scenes, feature)
            divergence = float(jensen_shannon(simulated, logged))
            note = f"{policy}  {divergence:.2f}" if math.isfinite(divergence) else f"{policy}  -"
            axis.stairs(density(simulated, edges), edges, color=color(index), linewidth=1.4, label=note)
        axis.set_xlabel(label)
        axis.set_yscale("function", functions=(np.sqrt, np.square))
        axis.set_yticks([])
        axis.set_ylim(bottom=0)
        axis.legend(**LEGEND)
    return to_svg(figure)


def scenes(evaluation: Evaluation) -> str:
    """SVG: one dot per scene and policy, and the mean over scenes, for the metrics that people look at first."""
    figure, axes = grid(len(PER_SCENE), 2.4)
    groups = by_policy(evaluation.measures)
    metrics = {metric.key: metric for metric in METRICS}
    for axis, key in zip(axes, PER_SCENE, strict=True):
        metric, factor = metrics[key], 100 if metrics[key].unit == "%" else 1
        for index, measured in enumerate(groups.values()):
            _strip(axis, measured, key, factor, index)
        axis.set_yticks(range(len(groups)), list(groups))
        axis.set_ylim(len(groups) - 0.5, -0.5)
        axis.set_xlim(left=0)
        axis.set_xlabel(f"{metric.label}, per scene [{metric.unit}]")
        axis.tick_params(axis="y", length=0)
    return to_svg(figure)


def _strip(axis: Axes, measured: list[SceneMeasures], key: str, factor: float, index: int) -> None:
    values = np.array([value for one in measured if (value := one.value(key)) is not None]) * factor
    if not len(values):
        return
    spread = 0.28 * np.random.default_rng(0).uniform(-1, 1, len(values))
    axis.scatter(values, index + spread, s=12, color=color(index), alpha=0.45, linewidths=0, clip_on=False)
    axis.plot([values.mean()] * 2, [index - 0.36, index + 0.36], color=color(index), linewidth=2.5)


def grid(num: int, height: float, *, columns: int = 2) -> tuple[Figure, list[Axes]]:
    """A figure with `num` axes in rows of `height` inches."""
    from matplotlib.figure import Figure

    rows = math.ceil(num / columns)
    figure = Figure(figsize=(10, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.spines[["top", "right", "left"]].set_visible(False)
    for axis in axes[num:]:
        axis.set_visible(False)
    return figure, axes[:num]


def density(counts: Any, edges: Any) -> Any:
    """Counts by bin as a density over the bins."""
    return counts / max(counts.sum(), 1) / np.diff(edges)


def to_svg(figure: Figure) -> str:
    """The figure as text, the same for the same figure."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
