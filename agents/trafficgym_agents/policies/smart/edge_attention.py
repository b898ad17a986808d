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
    heads, width = weights.shape[1], query.shape[1]
    slope = np.empty_like(weights)  # of the loss by each logit
    for i in range(len(query)):
        first, last = offsets[i], offsets[i + 1]
        for e in range(first, last):
            value = keys_values[source[e], width:]
            for h in range(heads):
                slope[e, h] = _worth(value, relation[e], d_values[i], d_relations[i, h], h, heads)
                if drops:
                    slope[e, h] *= keep[e, h]
        for h in range(heads):
            mean = np.float32(0)
            for e in range(first, last):
                mean += weights[e, h] * slope[e, h]
            for e in range(first, last):
                slope[e, h] = weights[e, h] * (slope[e, h] - mean)
        for e in range(first, last):
            _hand_on(query[i], keys_values[source[e]], relation[e], slope[e], d_query[i], d_bent[i])
            if drops:
                weights[e] *= keep[e]
            _hand_back(query[i], slope[e], weights[e], d_values[i], d_keys_values[source[e]])
            if wants_relation:
                _relate(bent[i], slope[e], weights[e], d_relations[i], d_relation[e])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _worth(value, relation, d_values, d_relations, h, heads):  # type: ignore[no-untyped-def]
    """What the weight of an edge is worth to the loss, by one head."""
    c = len(d_values) // heads
    total = np.float32(0)
    for k in range(len(relation)):
        total += d_relations[k] * relation[k]
    for k in range(h * c, h * c + c):
        total += d_values[k] * value[k]
    return total


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _hand_on(query, key, relation, slope, d_query, d_bent):  # type: ignore[no-untyped-def]
    """Gradients of the destination."""
    c = len(query) // len(slope)
    for h in range(len(slope)):
        steep, row = slope[h], d_bent[h]
        for k in range(len(relation)):
            row[k] += steep * relation[k]
        for k in range(h * c, h * c + c):
            d_query[k] += steep * key[k]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _hand_back(query, slope, weight, d_values, d_key_value):  # type: ignore[no-untyped-def]
    """Gradients of the source."""
    width = len(query)
    c = width // len(slope)
    for h in range(len(slope)):
        steep, heavy = slope[h], weight[h]
        for k in range(h * c, h * c + c):
            d_key_value[k] += steep * query[k]
            d_key_value[width + k] += heavy * d_values[k]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _relate(bent, slope, weight, d_relations, d_relation):  # type: ignore[no-untyped-def]
    """Gradients of the edge."""
    d_relation[:] = 0
    for h in range(len(slope)):
        steep, heavy, towards, summed = slope[h], weight[h], bent[h], d_relations[h]
        for k in range(len(d_relation)):
            d_relation[k] += steep * towards[k] + heavy * summed[k]
