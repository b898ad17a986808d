"""Softmax attention over edge lists, in which edges carry features of their own.

With a relation r of an edge, key and value are ``k + K r`` and ``v + V r``. As ``q . (K r) = (K' q) . r`` and
``sum a (V r) = V (sum a r)``, the matrices are applied once to each destination instead of once to each edge, which is
exact and saves nearly all of the work: a node has dozens of edges. On the CPU one kernel goes through the edges;
elsewhere it is index arithmetic in torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit

from trafficgym_agents.policies.smart.edges import Edges

Tensor = Any
TINY = 1e-16  # in the denominator, like the reference
FAST = {"reassoc", "contract", "nsz"}  # sums in any order, so that they are vectorised; infinities stay what they are


class Seen(NamedTuple):
    """What destinations take from their edges: sums weighted by attention, 0 for a destination without edges."""

    values: Tensor  # (D, heads c)
    relations: Tensor  # (D, heads, n)


def edge_attention(
    query: Tensor, keys_values: Tensor, bent: Tensor, relation: Tensor, edges: Edges, dropout: float = 0.0
) -> Seen:
    """Attend over edges; weights are the softmax of ``query . key + bent . relation``.

    Args:
        query: Of D destinations, scaled, float32 ``[D, heads c]``.
        keys_values: Of S sources, ``[S, 2 heads c]``.
        bent: The query seen by relations, ``[D, heads, n]``.
        relation: Of each edge, ``[E, n]``.
        edges: Sorted by destination.
        dropout: Share of weights that are left out.
    """
    keep = None
    if dropout > 0:
        keep = torch.empty((len(edges), bent.shape[1]), device=query.device).bernoulli_(1 - dropout).div_(1 - dropout)
    if query.device.type == "cpu" and query.dtype == torch.float32:
        return Seen(*_Fused.apply(query, keys_values, bent, relation, edges, keep))
    return plain_edge_attention(query, keys_values, bent, relation, edges, keep)


def plain_edge_attention(
    query: Tensor, keys_values: Tensor, bent: Tensor, relation: Tensor, edges: Edges, keep: Tensor | None = None
) -> Seen:
    """The same by index arithmetic, for any device and type; `keep` scales the weights, ``[E, heads]``."""
    heads, width, to = bent.shape[1], query.shape[1], edges.destination
    key, value = (part.reshape(-1, heads, width // heads) for part in keys_values[edges.source].split(width, 1))
    logits = (query.view(-1, heads, width // heads)[to] * key).sum(-1) + (bent[to] * relation[:, None]).sum(-1)
    most = torch.full((len(query), heads), -torch.inf, dtype=logits.dtype, device=logits.device)
    most = most.scatter_reduce(0, to[:, None].expand_as(logits), logits.detach(), "amax")
    weights = (logits - most[to]).exp()
    total = torch.zeros_like(most).index_add(0, to, weights)
    weights = weights / (total[to] + TINY)
    if keep is not None:
        weights = weights * keep
    values = torch.zeros_like(query).index_add(0, to, (weights[..., None] * value).reshape(-1, width))
    relations = torch.zeros_like(bent).index_add(0, to, weights[..., None] * relation[:, None])
    return Seen(values, relations)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(context, query, keys_values, bent, relation, edges, keep):  # type: ignore[no-untyped-def]
        given = [t.detach().contiguous() for t in (query, keys_values, bent, relation)]
        heads = bent.shape[1]
        weights = np.empty((len(edges), heads), np.float32)
        values, relations = np.zeros(query.shape, np.float32), np.zeros(bent.shape, np.float32)
        kept = np.ones((1, heads), np.float32) if keep is None else keep.numpy()
        where = edges.source.numpy(), edges.offsets.numpy(), kept, keep is not None
        _forward(*(t.numpy() for t in given), *where, weights, values, relations)
        context.save_for_backward(*given)
        context.rest = *where, weights
        return torch.from_numpy(values), torch.from_numpy(relations)

    @staticmethod
    def backward(context, d_values, d_relations):  # type: ignore[no-untyped-def]
        given = [t.numpy() for t in context.saved_tensors]
        wants_relation = context.needs_input_grad[3]
        found = [np.zeros_like(a) for a in given[:3]]
        d_relation = np.empty_like(given[3]) if wants_relation else np.empty((0, given[3].shape[1]), np.float32)
        gradients = d_values.contiguous().numpy(), d_relations.contiguous().numpy()
        *where, weights = context.rest
        _backward(*given, *where, weights.copy(), *gradients, *found, d_relation, wants_relation)
        last = torch.from_numpy(d_relation) if wants_relation else None
        return *(torch.from_numpy(a) for a in found), last, None, None


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _forward(  # type: ignore[no-untyped-def]
    query, keys_values, bent, relation, source, offsets, keep, drops, weights, values, relations
):
    heads, width, n = weights.shape[1], query.shape[1], relation.shape[1]
    c = width // heads
    for i in range(len(query)):
        first, last = offsets[i], offsets[i + 1]
        for e in range(first, last):
            key = keys_values[source[e]]
            for h in range(heads):
                logit = np.float32(0)
                for k in range(n):
                    logit += bent[i, h, k] * relation[e, k]
                for k in range(h * c, h * c + c):
                    logit += query[i, k] * key[k]
                weights[e, h] = logit
        for h in range(heads):
            _softmax(weights[first:last, h])
        for e in range(first, last):
            value = keys_values[source[e], width:]
            for h in range(heads):
                weight = weights[e, h]
                if drops:
                    weight *= keep[e, h]
                for k in range(n):
                    relations[i, h, k] += weight * relation[e, k]
                for k in range(h * c, h * c + c):
                    values[i, k] += weight * value[k]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _softmax(logits):  # type: ignore[no-untyped-def]
    most = np.float32(-np.inf)
    for e in range(len(logits)):
        most = max(most, logits[e])
    total = np.float32(TINY)
    for e in range(len(logits)):
        logits[e] = np.exp(logits[e] - most)
        total += logits[e]
    for e in range(len(logits)):
        logits[e] /= total


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _backward(  # type: ignore[no-untyped-def]
    query,
    keys_values,
    bent,
    relation,
    source,
    offsets,
    keep,
    drops,
    weights,
    d_values,
    d_relations,
    d_query,
    d_keys_values,
    d_bent,
    d_relation,
    wants_relation,
):
    slope = np.empty_like(weights)  # of the loss by each logit
    for i in range(len(query)):
        edges = offsets[i], offsets[i + 1]
        _weigh(i, edges, keys_values, relation, source, d_values, d_relations, slope)
        _slope(edges, keep, drops, weights, slope)
        _hand_on(i, edges, keys_values, relation, source, slope, d_query, d_bent)
        _hand_back(i, edges, query, source, slope, weights, d_values, d_keys_values)
        if wants_relation:
            _relate(i, edges, bent, slope, weights, d_relations, d_relation)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _weigh(i, edges, keys_values, relation, source, d_values, d_relations, worth):  # type: ignore[no-untyped-def]
    """What the weight of each edge is worth to the loss."""
    heads, width, n = worth.shape[1], d_values.shape[1], relation.shape[1]
    c = width // heads
    for e in range(edges[0], edges[1]):
        j = source[e]
        for h in range(heads):
            total = np.float32(0)
            for k in range(n):
                total += d_relations[i, h, k] * relation[e, k]
            for k in range(h * c, h * c + c):
                total += d_values[i, k] * keys_values[j, width + k]
            worth[e, h] = total


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _slope(edges, keep, drops, weights, slope):  # type: ignore[no-untyped-def]
    """From what weights are worth to slopes of the logits; `weights` become those that were kept."""
    for h in range(weights.shape[1]):
        mean = np.float32(0)
        for e in range(edges[0], edges[1]):
            if drops:
                slope[e, h] *= keep[e, h]
            mean += weights[e, h] * slope[e, h]
        for e in range(edges[0], edges[1]):
            slope[e, h] = weights[e, h] * (slope[e, h] - mean)
            if drops:
                weights[e, h] *= keep[e, h]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _hand_on(i, edges, keys_values, relation, source, slope, d_query, d_bent):  # type: ignore[no-untyped-def]
    """Gradients of the destination."""
    heads, width, n = slope.shape[1], d_query.shape[1], relation.shape[1]
    c = width // heads
    for e in range(edges[0], edges[1]):
        j = source[e]
        for h in range(heads):
            steep = slope[e, h]
            for k in range(n):
                d_bent[i, h, k] += steep * relation[e, k]
            for k in range(h * c, h * c + c):
                d_query[i, k] += steep * keys_values[j, k]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _hand_back(i, edges, query, source, slope, weights, d_values, d_keys_values):  # type: ignore[no-untyped-def]
    """Gradients of the sources."""
    heads, width = slope.shape[1], query.shape[1]
    c = width // heads
    for e in range(edges[0], edges[1]):
        j = source[e]
        for h in range(heads):
            steep, heavy = slope[e, h], weights[e, h]
            for k in range(h * c, h * c + c):
                d_keys_values[j, k] += steep * query[i, k]
                d_keys_values[j, width + k] += heavy * d_values[i, k]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _relate(i, edges, bent, slope, weights, d_relations, d_relation):  # type: ignore[no-untyped-def]
    """Gradients of the edges."""
    for e in range(edges[0], edges[1]):
        for k in range(d_relation.shape[1]):
            d_relation[e, k] = 0
        for h in range(slope.shape[1]):
            steep, heavy = slope[e, h], weights[e, h]
            for k in range(d_relation.shape[1]):
                d_relation[e, k] += steep * bent[i, h, k] + heavy * d_relations[i, h, k]
