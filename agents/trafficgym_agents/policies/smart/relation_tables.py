"""Embeddings of how nodes lie to each other, read from tables where what they embed is bounded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from trafficgym_agents.policies.smart.config import SmartConfig
from trafficgym_agents.policies.smart.fourier import FourierEmbedding, Tables
from trafficgym_agents.policies.smart.geometry import SEAM, SLACK

Tensor = Any


def reach(radius: float, config: SmartConfig) -> float:
    """How far a radius of the configuration reaches, m."""
    return radius if config.zero_fill_quirk else SLACK * radius


def bounded(embedding: FourierEmbedding, radius: float, table_rows: int, quirk: bool) -> Any:
    """The embedding of (distance, bearing, turn) within a radius: itself, or tables of it."""
    if not table_rows:
        return embedding
    return Tables(embedding, *_within(radius, quirk), (table_rows,) * 3)


def backward(embedding: FourierEmbedding, stride: float, span: int, table_rows: int, quirk: bool) -> Any:
    """The embedding of (distance, bearing, turn, slots) to where an agent was up to `span` slots ago.

    Args:
        embedding: The exact one.
        stride: The longest way from slot to slot, m.
        span: Slots.
        table_rows: Of tables, that of distances has as many for each slot; 0: the embedding itself.
        quirk: See `geometry.relations`.
    """
    return _Backward(embedding, stride, span, table_rows, quirk) if table_rows else embedding


class _Backward:
    """Tables, and the embedding itself for distances beyond them: logs may jump further than any token leads.

    Turns are computed: those from slot to slot are tiny, and networks learn to tell them apart by less than rows are.
    """

    def __init__(self, exact: FourierEmbedding, stride: float, span: int, table_rows: int, quirk: bool) -> None:
        (low, high), self._exact, self._reach = _within(span * stride, quirk), exact, span * stride
        self._tables = Tables(exact, (*low, -span), (*high, 0), (span * table_rows, table_rows, 0, span + 1))

    def parameters(self) -> Iterator[Tensor]:
        return self._exact.parameters()

    @property
    def last(self) -> Any:
        return self._exact.last

    def __call__(self, values: Tensor) -> Tensor:
        return self.last(self.before_last(values))

    def before_last(self, values: Tensor) -> Tensor:
        is_beyond = bool((values[:, 0] > self._reach).any())
        return (self._exact if is_beyond else self._tables).before_last(values)


def _within(radius: float, quirk: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The smallest and the largest (distance, bearing, turn)."""
    seam = 0.0 if quirk else SEAM
    return (0.0, seam - math.pi, -seam - math.pi), (radius, seam + math.pi, math.pi - seam)
