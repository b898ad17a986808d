"""Confidence intervals by resampling whole scenes (cluster bootstrap, percentile method).

Agents of one scene share its road and its traffic, and so are not independent; scenes are. Hence scenes
are drawn with replacement and everything in a drawn scene comes along. The interval covers the choice of
scenes, not the training seed of a policy. (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
chapters 13 and 8.) With few scenes the percentile interval is somewhat too narrow, and that of a divergence
lies too high: repeating scenes makes histograms less alike, which no draw can undo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trafficgym.errors import ConfigError

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From how often each scene was drawn, ``[R, S]``, to one value per resample, ``[R]``; NaN where undefined."""


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How to resample: number of resamples, confidence level, seed."""

    num_resamples: int = 10_000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_resamples < 1 or not 0 < self.level < 1:
            raise ConfigError(f"{self}: num_resamples must be at least 1 and level between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value with its confidence interval, and how many scenes it rests on; with one scene the bounds say nothing."""

    value: float
    low: float
    high: float
    num_scenes: int


def intervals(
    statistics: Mapping[str, Statistic], num_scenes: int, bootstrap: Bootstrap | None = None
) -> dict[str, Interval | None]:
    """Percentile interval of each statistic over the same resampled scenes; None where a statistic is undefined.

    Resamples for which a statistic is undefined (no agent of the kind in any drawn scene) are left out of its
    interval.
    """
    bootstrap = bootstrap or Bootstrap()
    if num_scenes == 0:
        return dict.fromkeys(statistics)
    rng = np.random.default_rng(bootstrap.seed)
    rows_at_once = max(1, 4_000_000 // num_scenes)  # bounds memory at tens of MB whatever the number of scenes
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    for start in range(0, bootstrap.num_resamples, rows_at_once):
        weights = _draw(rng, min(rows_at_once, bootstrap.num_resamples - start), num_scenes)
        for name, statistic in statistics.items():
            drawn[name].append(statistic(weights))
    as_given = np.ones((1, num_scenes))
    return {
        name: _interval(float(statistic(as_given)[0]), np.concatenate(drawn[name]), num_scenes, bootstrap.level)
        for name, statistic in statistics.items()
    }


def interval(statistic: Statistic, num_scenes: int, bootstrap: Bootstrap | None = None) -> Interval | None:
    """Percentile interval of one statistic over resampled scenes; None where it is undefined (see `intervals`)."""
    return intervals({"": statistic}, num_scenes, bootstrap)[""]


def ratio_interval(total: ArrayLike, count: ArrayLike, bootstrap: Bootstrap | None = None) -> Interval | None:
    """Interval of ``sum(total) / sum(count)`` over scenes.

    Args:
        total: Sum over a scene's agents, ``[S]``.
        count: Number of agents that the sum is over, ``[S]``; all ones for a plain mean over scenes.
    """
    return interval(ratio_statistic(total, count), len(np.asarray(total)), bootstrap)


def paired_difference(
    a: tuple[ArrayLike, ArrayLike], b: tuple[ArrayLike, ArrayLike], bootstrap: Bootstrap | None = None
) -> Interval | None:
    """Interval of the ratio of `a` minus that of `b`, drawn over the same scenes for both.

    Args:
        a: Total and count per scene, ``[S]`` each, as in `ratio_interval`.
        b: The same for the policy that `a` is compared with, over the same scenes in the same order.
    """
    ratio_a, ratio_b = ratio_statistic(*a), ratio_statistic(*b)
    num_a, num_b = len(np.asarray(a[0])), len(np.asarray(b[0]))
    if num_a != num_b:
        raise ConfigError(f"a paired difference needs the same scenes on both sides, got {num_a} and {num_b}")
    return interval(lambda weights: ratio_a(weights) - ratio_b(weights), num_a, bootstrap)


def ratio_statistic(total: ArrayLike, count: ArrayLike) -> Statistic:
    """``sum(total) / sum(count)`` over drawn scenes; both ``[S]``, see `ratio_interval`."""
    sums, counts = np.asarray(total, np.float64), np.asarray(count, np.float64)
    if sums.ndim != 1 or sums.shape != counts.shape:
        raise ConfigError(f"total and count must be (S,) alike, got {sums.shape} and {counts.shape}")

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn = weights @ counts
        return np.divide(weights @ sums, drawn, out=np.full(len(weights), np.nan), where=drawn > 0)

    return statistic


def _interval(value: float, draws: NDArray[np.float64], num_scenes: int, level: float) -> Interval | None:
    if not np.isfinite(value):
        return None
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return Interval(value=value, low=float(low), high=float(high), num_scenes=num_scenes)


def _draw(rng: np.random.Generator, num_rows: int, num_scenes: int) -> NDArray[np.float64]:
    """How often each scene occurs in each of `num_rows` draws with replacement, ``[num_rows, num_scenes]``."""
    index = rng.integers(0, num_scenes, (num_rows, num_scenes))
    flat = (index + num_scenes * np.arange(num_rows)[:, None]).ravel()
    return np.bincount(flat, minlength=num_rows * num_scenes).reshape(num_rows, num_scenes).astype(np.float64)
