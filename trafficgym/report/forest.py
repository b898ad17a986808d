"""Intervals side by side as a small inline SVG: a dot and a line per policy on one shared axis."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from trafficgym.metrics.bootstrap import Interval
from trafficgym.metrics.summary import Metric
from trafficgym.report.numbers import number, span

COLORS = ("#6b7280", "#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#7a5195")
"""One per policy, in order; told apart by colour-blind readers too (Okabe and Ito)."""
WIDTH, LINE, PAD = 230.0, 9.0, 6.0  # px


def color(index: int) -> str:
    """The colour of the policy with this number."""
    return COLORS[index % len(COLORS)]


def forest(
    metric: Metric, policies: Sequence[str], intervals: Sequence[Interval | None], numbers: Sequence[int]
) -> str:
    """SVG of one metric; the axis holds 0, which is marked, and all bounds.

    Args:
        numbers: Of each policy, for its colour.
    """
    found = [one for one in intervals if one is not None]
    low = min([0.0, *(one.low for one in found)])
    high = max([0.0, low + 1e-9, *(one.high for one in found)])
    scale = (WIDTH - 2 * PAD) / (high - low)
    height = LINE * len(policies) + 4
    zero = PAD - low * scale
    marks = [f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{height:.0f}" class="zero"/>']
    for line, (policy, one, index) in enumerate(zip(policies, intervals, numbers, strict=True)):
        if one is None:
            continue
        y = 2 + LINE * (line + 0.5)
        left, dot, right = (PAD + (value - low) * scale for value in (one.low, one.value, one.high))
        label = escape(f"{policy}: {number(metric, one.value)} {span(metric, one)} {metric.unit}")
        marks.append(
            f'<g stroke="{color(index)}" fill="{color(index)}"><title>{label}</title>'
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke-width="2"/>'
            f'<circle cx="{dot:.1f}" cy="{y:.1f}" r="3" stroke="none"/></g>'
        )
    return f'<svg class="forest" width="{WIDTH:.0f}" height="{height:.0f}" role="img">{"".join(marks)}</svg>'
