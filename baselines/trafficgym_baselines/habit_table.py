"""Habits of simulators side by side: how far headways and jerks are from the log's, and how often lanes are changed.

They are not in the meta-metric, so a simulator whose score rises while they move away from the log games it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.metrics.bootstrap import Interval, Statistic, interval, ratio_interval
from trafficgym.metrics.distribution import jensen_shannon
from trafficgym.metrics.habits import HabitCounts, Habits, divergences
from trafficgym.scene.scene import Scene
from trafficgym.world.state import DT

Row = dict[str, Any]
TITLES = {
    "headway_jsd": "headway JSD",
    "jerk_jsd": "jerk JSD",
    "lane_changes_per_minute": "lane changes/min",
    "logged_lane_changes_per_minute": "the log's",
}


def habit_row(scene: Scene, rollouts: NDArray[np.floating] | None) -> Row:
    """What is kept of a scene: its divergences and rates, where they are defined, and the counts, which add up.

    Args:
        scene: The scene.
        rollouts: ``[R, A, T, 4]``, see `Habits.of`; None for the log itself.
    """
    habits = Habits(scene)
    logged = habits.of_log()
    simulated = logged if rollouts is None else habits.of(rollouts)
    found = {f"{name}_jsd": value for name, value in divergences(simulated, logged).items()}
    found["lane_changes_per_minute"] = simulated.lane_changes_per_minute
    found["logged_lane_changes_per_minute"] = logged.lane_changes_per_minute
    defined: Row = {name: value for name, value in found.items() if np.isfinite(value)}
    return defined | {"habits": {"simulated": _plain(simulated), "logged": _plain(logged)}}


def _plain(counts: HabitCounts) -> dict[str, Any]:
    return {name: np.asarray(value).tolist() for name, value in vars(counts).items()}


def habit_table(rows: Mapping[str, Sequence[Sequence[Row]]]) -> dict[str, dict[str, Any]]:
    """Habits by simulator and column, pooled over scenes, each with its interval over scenes, or None.

    Args:
        rows: By simulator, of each scene one row per training seed. Scenes count of which every simulator has habits.
    """
    num = len(next(iter(rows.values()), ()))
    kept = [s for s in range(num) if all("habits" in row for scenes in rows.values() for row in scenes[s])]
    return {name: _pooled([scenes[s] for s in kept]) for name, scenes in rows.items()} if kept else {}


def _pooled(scenes: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """The columns of one simulator."""
    both = {
        side: {
            name: np.array([sum(np.array(row["habits"][side][name]) for row in seeds) for seeds in scenes])
            for name in ("headway", "jerk", "lane_changes", "lane_steps")
        }
        for side in ("simulated", "logged")
    }
    simulated, logged = both["simulated"], both["logged"]
    found = {
        f"{name}_jsd": interval(_divergence(simulated[name], logged[name]), len(scenes)) for name in ("headway", "jerk")
    }
    for prefix, side in (("", simulated), ("logged_", logged)):
        rate = ratio_interval(side["lane_changes"], side["lane_steps"] * DT / 60)
        found[f"{prefix}lane_changes_per_minute"] = rate
    return {name: _numbers(one) for name, one in found.items()} | {"num_scenes": len(scenes)}


def _divergence(simulated: NDArray[np.int64], logged: NDArray[np.int64]) -> Statistic:
    """Divergence of counts ``[S, bins]`` summed over drawn scenes."""
    return lambda weights: jensen_shannon(weights @ simulated, weights @ logged)


def _numbers(found: Interval | None) -> list[float] | None:
    return None if found is None else [found.value, found.low, found.high]


def print_habits(found: Mapping[str, Mapping[str, Any]], num_scenes: int) -> None:
    """One line per simulator, each value with its interval."""
    if not found:
        print("habits: no scene has those of every simulator; rows that were kept before habits were counted have none")
        return
    pooled = next(iter(found.values()))["num_scenes"]
    without = f" of {num_scenes}; the others were scored before habits were counted" if pooled < num_scenes else ""
    print(f"habits, which the meta-metric does not look at, pooled over {pooled} scenes{without}")
    print(f"{'':22}" + "".join(f"{title:>30}" for title in TITLES.values()))
    for name, columns in found.items():
        print(f"{name:22}" + "".join(f"{_written(columns[key]):>30}" for key in TITLES))


def _written(value: Sequence[float] | None) -> str:
    return "-" if value is None else "{:.4f} [{:.4f}, {:.4f}]".format(*value)
