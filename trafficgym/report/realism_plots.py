"""The plots of a page about realism as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trafficgym.metrics.wosac import BUCKETS
from trafficgym.report.forest import color
from trafficgym.report.plots import LEGEND, density, grid, to_svg
from trafficgym.report.realism import RealismEvaluation
from trafficgym.report.realism_lines import UNITS, label
from trafficgym.report.realism_pooled import Pooled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_GREY = "#d7dbe0"
BAR = 0.8  # of the room between two features
DT = 0.1  # s
Series = list[tuple[str, list[float]]]


def histograms(evaluation: RealismEvaluation) -> str:
    """SVG: each feature in the log (grey area) and under each policy (line), over the bins of the metric."""
    pooled, features = Pooled.of(evaluation), evaluation.config.config.features
    continuous = [name for name in UNITS if name in pooled.logged]
    figure, axes = grid(len(continuous) + 1, 2.4)
    for axis, name in zip(axes, continuous, strict=False):
        edges = features[name].edges
        axis.stairs(density(pooled.logged[name], edges), edges, fill=True, color=LOG_GREY, label="log")
        for index, (policy, simulated) in enumerate(pooled.simulated.items(), start=1):
            values = density(simulated[name], edges)
            axis.stairs(values, edges, color=color(index), linewidth=1.4, label=policy)
        axis.set_xlabel(f"{label(name)} [{UNITS[name]}]")
        axis.set_xlim(edges[0], edges[-1])
        axis.set_yscale("function", functions=(np.sqrt, np.square))
        axis.set_yticks([])
        axis.set_ylim(bottom=0)
        axis.legend(**LEGEND)
    _flags(axes[-1], pooled)
    return to_svg(figure)


def _flags(axis: Axes, pooled: Pooled) -> None:
    """Shares of evaluated agents with each flag, log against policies."""
    names = [name for name in pooled.logged if name not in UNITS]
    shares = [("log", [_raised(pooled.logged[name]) for name in names])]
    shares += [(policy, [_raised(one[name]) for name in names]) for policy, one in pooled.simulated.items()]
    _bars(axis, [label(name) for name in names], shares, LOG_GREY)
    axis.set_xlabel("share of evaluated agents [%]")


def likelihoods(evaluation: RealismEvaluation) -> str:
    """SVG: likelihoods beside those of the log's replay, and the points of the meta-metric that are lost."""
    features, oracle = evaluation.config.config.features, evaluation.oracle.score.likelihoods
    names = [name for name in BUCKETS if name in oracle]
    figure, axes = grid(2, len(names) * (0.1 * len(evaluation.rows) + 0.18) + 0.9)
    bars = [(row.policy, [row.score.likelihoods[name] for name in names]) for row in evaluation.rows]
    replayed = (evaluation.oracle.policy, [oracle[name] for name in names])
    _bars(axes[0], [label(name) for name in names], [replayed, *bars], color(0))
    axes[0].set_xlabel("likelihood")
    axes[0].set_xlim(0, 1)
    lost = [
        (policy, [100 * features[name].weight * (oracle[name] - one) for name, one in zip(names, values, strict=True)])
        for policy, values in bars
    ]
    _bars(axes[1], [""] * len(names), lost, None)
    axes[1].axvline(0, color=LOG_GREY, linewidth=1)
    axes[1].set_xlabel("lost of the meta-metric [0.01]")
    return to_svg(figure)


def over_time(evaluation: RealismEvaluation) -> str:
    """SVG: mean log-likelihood of each feature along the horizon, of every policy and of the log's replay (grey)."""
    pooled = Pooled.of(evaluation)
    names = [name for name in UNITS if name in pooled.logged]
    figure, axes = grid(len(names), 2.2)
    for axis, name in zip(axes, names, strict=True):
        for index, (policy, curves) in enumerate(pooled.log_likelihood.items()):
            curve = curves[name]
            axis.plot(DT * np.arange(1, len(curve) + 1), curve, color=color(index), linewidth=1.4, label=policy)
        axis.set_xlabel("time [s]")
        axis.set_ylabel(label(name))
        axis.spines[["left"]].set_visible(True)
        axis.legend(**LEGEND)
    return to_svg(figure)


def _bars(axis: Axes, names: list[str], values: Series, first: str | None) -> None:
    """Horizontal bars, a group for each name; the first series in grey where `first` says which."""
    height = BAR / len(values)
    for index, (series, widths) in enumerate(values):
        shade = first if first is not None and index == 0 else color(index if first is not None else index + 1)
        y = np.arange(len(names)) + (index + 0.5) * height - BAR / 2
        axis.barh(y, widths, height=height, color=shade, label=series)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.legend(**LEGEND)


def _raised(counts: Any) -> float:
    return 100 * float(counts[1]) / max(float(counts.sum()), 1.0)
