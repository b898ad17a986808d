"""Statistics of nominal traffic beside published ranges: `python docs/make_traffic_statistics.py`.

Writes docs/images/nominal_statistics.png, in which everything is generated, and prints a table. With ``--real PATH``
the table has recorded scenes too, and ``--report FILE`` draws a picture with them, which must not be committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from trafficgym.scene.readers import find_sources, load_scene
from trafficgym_scenarios.nominal import NominalConfig, nominal_scenes
from trafficgym_scenarios.nominal.statistics import TrafficStatistics, traffic_statistics

PICTURE = Path(__file__).parent / "images/nominal_statistics.png"
GROUPS = {
    "highway": ("highway",),
    "ramps, merges, drops": ("on_ramp", "off_ramp", "merge", "fork", "lane_drop", "weaving"),
    "street": ("street",),
    "junctions": ("three_way", "four_way", "roundabout"),
}
COLORS = ("#2e5eaa", "#5b9bd5", "#d1495b", "#edae49", "#444444")


@dataclass(frozen=True, kw_only=True)
class Args:
    """Measure, print, draw."""

    scenes: int = 60
    """Of each group, 20 s each."""
    seed: int = 0
    real: tuple[Path, ...] = ()
    """Recorded scenes, for the table and the report alone."""
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One histogram, and what has been published about it."""

    field: str
    label: str
    limits: tuple[float, float]
    published: tuple[float, ...] = ()
    """Drawn as lines; docs/nominal.md names the sources."""
    note: str = ""


PANELS = (
    Panel(field="speed", label="speed of moving vehicles, m/s", limits=(0, 40)),
    Panel(
        field="acceleration",
        label="acceleration over 0.5 s, m/s²",
        limits=(-5, 4),
        published=(-3.4, -3.0),
        note="braking: -3.4 AASHTO, -3.0 ITE",
    ),
    Panel(field="gap", label="gap to the vehicle ahead, m", limits=(0, 80)),
    Panel(
        field="time_gap",
        label="time gap above 5 m/s, s",
        limits=(0, 6),
        published=(1.3,),
        note="1.3 on average at capacity, HCM",
    ),
)


def draw(statistics: dict[str, TrafficStatistics], path: Path) -> None:
    """Histograms of every group in one picture."""
    figure = Figure(figsize=(9.0, 5.4), layout="constrained")
    for axis, panel in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        _draw(axis, panel, statistics)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=110)


def _draw(axis: Axes, panel: Panel, statistics: dict[str, TrafficStatistics]) -> None:
    for value in panel.published:
        axis.axvline(value, color="#666666", ls="--", lw=1)
    axis.set_title(panel.note, fontsize=9, loc="left", color="#666666")
    bins = np.linspace(*panel.limits, 46).tolist()
    for (name, found), color in zip(statistics.items(), COLORS, strict=False):
        axis.hist(getattr(found, panel.field), bins, density=True, histtype="step", lw=1.6, color=color, label=name)
    axis.set(xlabel=panel.label, yticks=[], xlim=panel.limits)
    axis.spines[["top", "right", "left"]].set_visible(False)


def table_of(statistics: dict[str, TrafficStatistics]) -> Table:
    """5th, 50th and 95th percentile of everything."""
    table = Table(
        "", "speed m/s", "acceleration m/s^2", "gap m", "time gap s", "walking m/s", "km", "lane changes per km"
    )
    for name, found in statistics.items():
        table.add_row(
            name,
            *(_percentiles(getattr(found, part)) for part in ("speed", "acceleration", "gap", "time_gap")),
            _percentiles(found.walking_speed),
            f"{found.distance_km:.0f}",
            f"{found.lane_changes_per_km:.2f}" if found.distance_km > 1 else "-",
        )
    return table


def _percentiles(values: NDArray[np.float64]) -> str:
    return "/".join(f"{v:.1f}" for v in np.percentile(values, [5, 50, 95])) if len(values) else "-"


def recorded(paths: Sequence[Path]) -> TrafficStatistics:
    """Statistics of the first scene of every file."""
    return traffic_statistics(load_scene(path) for path in find_sources(list(paths)))


def main(args: Args) -> None:
    """Measure, print, draw."""
    statistics = {}
    for name, kinds in GROUPS.items():
        config = NominalConfig(roads=kinds, num_steps=201)
        statistics[name] = traffic_statistics(nominal_scenes(args.scenes, seed=args.seed, config=config))
    draw(statistics, PICTURE)
    if args.real:
        statistics["recorded"] = recorded(args.real)
        if args.report is not None:
            draw(statistics, args.report)
    Console(width=160).print(table_of(statistics))


if __name__ == "__main__":
    main(tyro.cli(Args))
