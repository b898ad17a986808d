"""Likelihood of the log under histograms of the rollouts (WOSAC.md section 8).

A Bernoulli estimate is a histogram of two bins, so that one code serves both kinds. The samples of each rollout are
counted apart: counts add, and the histogram without one rollout is a subtraction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.metrics.wosac.config import FeatureConfig

Bool = NDArray[np.bool_]
Int = NDArray[np.int32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Histograms:
    """What one feature of the log is compared with, and where its values lie.

    The T of a Bernoulli feature is 1.
    """

    config: FeatureConfig
    group: Int  # (E, T) which of the G histograms a value belongs to
    log_bin: Int  # (E, T) the bin of the logged value
    mask: Bool  # (E, T) logged values that count

    @classmethod
    def of(cls, config: FeatureConfig, logged: NDArray, mask: Bool) -> Histograms:
        """Prepare the comparison with logged values, ``[E, T]``; those marked in `mask`, bool ``[E, T]``, count."""
        num_objects, num_steps = logged.shape
        of_object = np.zeros(num_objects, np.int32) if config.aggregate_objects else np.arange(num_objects)
        of_step = np.zeros(num_steps, np.int32) if config.independent_timesteps else np.arange(num_steps)
        stride = 1 if config.independent_timesteps else num_steps
        group = (of_object[:, None] * stride + of_step).astype(np.int32)
        return cls(config=config, group=group, log_bin=bins_of(logged, config.edges), mask=mask)

    def count(self, simulated: NDArray) -> NDArray[np.int64]:
        """Count samples, ``[R, E, T]``, rollout by rollout, int64 ``[R, G, bins]``.

        None is masked, and those that are not a number count for the last bin, as in the official code.
        """
        out = np.zeros((len(simulated), int(self.group.max()) + 1, self.config.bins), np.int64)
        _count(np.ascontiguousarray(simulated, np.float32), self.config.edges, self.group, out)
        return out

    def log_likelihood(self, counts: NDArray) -> Float64:
        """Natural logarithm of the probability of each logged value.

        Args:
            counts: ``[..., G, bins]``.

        Returns:
            ``[..., E, T]``, whether the value counts or not.
        """
        smooth = counts + self.config.pseudocount
        log_p = np.log(smooth / smooth.sum(-1, keepdims=True))
        found: Float64 = log_p[..., self.group, self.log_bin]
        return found

    def likelihood(self, log_likelihood: Float64) -> Float64:
        """Geometric mean over what counts, ``[...]``, from ``[..., E, T]``; NaN where nothing counts."""
        with np.errstate(invalid="ignore"):
            mean: Float64 = (log_likelihood * self.mask).sum((-2, -1)) / self.mask.sum()
        return np.exp(mean)

    def likelihood_of_agents(self, log_likelihood: Float64) -> Float64:
        """The same for each object alone, ``[..., E]``."""
        with np.errstate(invalid="ignore"):
            mean: Float64 = (log_likelihood * self.mask).sum(-1) / self.mask.sum(-1)
        return np.exp(mean)


def bins_of(values: NDArray, edges: NDArray[np.float32]) -> Int:
    """The bin of each value, int32 of the same shape; values beyond the ends are clipped, NaN is in the last bin."""
    out = np.empty(values.shape, np.int32)
    _bins(np.ascontiguousarray(values, np.float32).reshape(-1), edges, out.reshape(-1))
    return out


@njit(cache=True, inline="always")
def _bin(value, edges):
    last = len(edges) - 2
    if np.isnan(value):
        return last
    k = 0
    while k < last and value >= edges[k + 1]:
        k += 1
    return k


@njit(cache=True)
def _bins(values, edges, out):
    for i in range(len(values)):
        out[i] = _bin(values[i], edges)


@njit(cache=True)
def _count(values, edges, group, out):
    for r in range(values.shape[0]):
        for e in range(values.shape[1]):
            for t in range(values.shape[2]):
                out[r, group[e, t], _bin(values[r, e, t], edges)] += 1
