"""Who attends to whom, against pairs that are looked at one by one."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trafficgym_agents.policies.smart.edges import Edges, Groups, edges_back, edges_within
from trafficgym_agents.policies.smart.geometry import plain_relations, relations


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


def test_relations_are_those_of_torch() -> None:
    """Also where angles jump: straight ahead and behind, the same and the opposite way, and at the same place."""
    rng = np.random.default_rng(0)
    xy, yaw = rng.integers(-3, 4, (40, 2)).astype(np.float32), rng.choice([0, 0.5, 1, -1, 0.31], 40) * np.pi
    edges = edges_within(9.0, xy, np.zeros(40, np.int64), xy, Groups.of(np.zeros(40, np.int64), 1), is_same=True)
    nodes = [torch.from_numpy(xy), torch.from_numpy(yaw.astype(np.float32))] * 2
    slot = torch.from_numpy(rng.integers(0, 9, 40))
    for slots in ((), (slot,)):
        found, want = relations(edges, *nodes, *slots), plain_relations(edges, *nodes, *slots)
        torch.testing.assert_close(found, want, rtol=0, atol=2e-6)
    assert (found[:, 0] == 0).any() and (found[:, 1] > 3.14).any() and (found[:, 2].abs() > 3.14).any()
    nobody = Edges(edges.source[:0], edges.destination[:0], edges.offsets[:1])
    assert relations(nobody, nodes[0][:0], nodes[1][:0], *nodes[2:]).shape == (0, 3)
