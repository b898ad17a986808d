"""Who attends to whom, against pairs that are looked at one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trafficgym_agents.policies.smart.edges import Edges, Groups, edges_back, edges_within


def pairs(edges: Edges) -> list[tuple[int, int]]:
    """(destination, source), in the order of the list; offsets say the same as the list."""
    counts = np.bincount(edges.destination, minlength=len(edges.offsets) - 1)
    np.testing.assert_array_equal(np.diff(edges.offsets), counts)
    return list(zip(edges.destination.tolist(), edges.source.tolist(), strict=True))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 12), st.integers(1, 12), st.booleans())
def test_within_a_radius_and_a_group(seed: int, num: int, num_sources: int, is_same: bool) -> None:
    rng = np.random.default_rng(seed)
    source_xy = rng.integers(0, 8, (num_sources, 2)).astype(np.float32)  # on a grid: many are at the very radius
    source_group = rng.integers(0, 3, num_sources)
    xy, group = rng.integers(0, 8, (num, 2)).astype(np.float32), rng.integers(0, 3, num)
    if is_same:
        xy, group, num = source_xy, source_group, num_sources
    edges = edges_within(5.0, xy, group, source_xy, Groups.of(source_group, 3), is_same=is_same)
    away = np.linalg.norm(xy[:, None].astype(float) - source_xy, axis=-1)
    want = (away < 5) & (group[:, None] == source_group)
    if is_same:
        np.fill_diagonal(want, False)
    assert pairs(edges) == [(i, j) for i in range(num) for j in range(num_sources) if want[i, j]]


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 7), st.booleans())
def test_back_in_time(seed: int, span: int, drops: bool) -> None:
    """Slots that are missing leave gaps, over which the span is counted in slots."""
    rng = np.random.default_rng(seed)
    agent, slot = np.nonzero(rng.random((4, 9)) < 0.6)
    keep = rng.random(len(agent)) < 0.7 if drops else np.ones(len(agent), bool)
    edges = edges_back(agent, slot, span, keep if drops else None)
    want = (agent[:, None] == agent) & (slot[:, None] > slot) & (slot[:, None] - slot <= span)
    want &= keep[:, None] & keep
    assert pairs(edges) == [(i, j) for i in range(len(agent)) for j in range(len(agent)) if want[i, j]]
