"""Who attends to whom: pairs of nodes within a radius, as edge lists sorted by destination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

Tensor = Any


class Edges(NamedTuple):
    """E pairs (source, destination), sorted by destination and then by source."""

    source: Tensor  # int64 (E,)
    destination: Tensor  # int64 (E,), ascending
    offsets: Tensor  # int64 (D + 1,): destination i has the edges offsets[i]:offsets[i + 1]

    def __len__(self) -> int:
        return int(self.source.shape[0])


@dataclass(frozen=True)
class Groups:
    """Sources by group: group g holds ``index[offsets[g]:offsets[g + 1]]``, each ascending."""

    index: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, group: NDArray[np.int64], num_groups: int) -> Groups:
        """Groups of nodes that each carry a group's number, int64 ``[N]``."""
        offsets = np.zeros(num_groups + 1, np.int64)
        np.cumsum(np.bincount(group, minlength=num_groups), out=offsets[1:])
        return cls(np.argsort(group, kind="stable"), offsets)


def edges_within(
    radius: float,
    destination_xy: NDArray[np.float32],
    destination_group: NDArray[np.int64],
    source_xy: NDArray[np.float32],
    sources: Groups,
    *,
    is_same: bool = False,
) -> Edges:
    """Pairs of one group that are nearer than `radius`; a pair at exactly that distance is none (float32).

    Args:
        radius: m.
        destination_xy: float32 ``[D, 2]`` m.
        destination_group: int64 ``[D]``.
        source_xy: float32 ``[S, 2]`` m.
        sources: The groups of the sources.
        is_same: Destinations and sources are the same nodes, which do not attend to themselves.
    """
    limit = np.float32(radius) ** 2
    source_x, source_y = (np.ascontiguousarray(source_xy[sources.index, axis]) for axis in (0, 1))
    arguments = destination_xy, destination_group, source_x, source_y, sources.offsets, limit
    offsets = np.zeros(len(destination_xy) + 1, np.int64)
    _count(*arguments, is_same, offsets[1:])
    np.cumsum(offsets, out=offsets)
    source = np.empty(offsets[-1], np.int64)
    _fill(*arguments, is_same, sources.index, offsets, source)
    return edges_from(source, offsets)


def edges_from(source: NDArray[np.int64], offsets: NDArray[np.int64]) -> Edges:
    """Edges of sources that are listed destination by destination."""
    destination = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return Edges(torch.from_numpy(source), torch.from_numpy(destination), torch.from_numpy(offsets))


def edges_back(
    agent: NDArray[np.int64], slot: NDArray[np.int64], span: int, keep: NDArray[np.bool_] | None = None
) -> Edges:
    """Edges from the earlier slots of the same agent, at most `span` slots back.

    Args:
        agent: Of each node, int64 ``[N]``; nodes are sorted by agent and then by slot.
        slot: int64 ``[N]``.
        span: Slots.
        keep: Nodes that have edges at all, bool ``[N]``; default all.
    """
    keep = np.ones(len(agent), bool) if keep is None else keep
    sources = np.full((len(agent), span), -1, np.int64)
    for back in range(1, min(span, len(agent) - 1) + 1):
        # Slots that are not there leave gaps, so that a node `back` places before may be further than `span` away.
        nodes = np.arange(back, len(agent))
        earlier = nodes - back
        near = (agent[earlier] == agent[nodes]) & (slot[nodes] - slot[earlier] <= span)
        sources[nodes, span - back] = np.where(near & keep[nodes] & keep[earlier], earlier, -1)
    there = sources >= 0
    offsets = np.zeros(len(agent) + 1, np.int64)
    np.cumsum(there.sum(1), out=offsets[1:])
    return edges_from(sources[there], offsets)


@njit(cache=True)
def _count(destination_xy, destination_group, source_x, source_y, group_offsets, limit, is_same, count):  # type: ignore[no-untyped-def]
    for i in range(len(destination_xy)):
        x, y, g = destination_xy[i, 0], destination_xy[i, 1], destination_group[i]
        group = slice(group_offsets[g], group_offsets[g + 1])
        found = _num_near(source_x[group], source_y[group], x, y, limit)
        count[i] = found - (is_same and x - x == 0 and y - y == 0)  # who is nowhere was not found


@njit(cache=True)
def _num_near(source_x, source_y, x, y, limit):  # type: ignore[no-untyped-def]
    found = np.int32(0)
    for at in range(len(source_x)):
        dx, dy = source_x[at] - x, source_y[at] - y
        found += np.int32(dx * dx + dy * dy < limit)
    return found


@njit(cache=True)
def _fill(destination_xy, destination_group, source_x, source_y, group_offsets, limit, is_same, index, offsets, source):  # type: ignore[no-untyped-def]
    for i in range(len(destination_xy)):
        x, y, g = destination_xy[i, 0], destination_xy[i, 1], destination_group[i]
        to = offsets[i]
        for at in range(group_offsets[g], group_offsets[g + 1]):
            dx, dy = source_x[at] - x, source_y[at] - y
            if dx * dx + dy * dy < limit and not (is_same and i == index[at]):
                source[to] = index[at]
                to += 1
