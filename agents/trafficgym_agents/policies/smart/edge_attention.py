"""Softmax attention over edge lists: one fused kernel on the CPU, index arithmetic in torch elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit

from trafficgym_agents.policies.smart.edges import Edges

Tensor = Any
TINY = 1e-16  # in the denominator, like the reference
FAST = {"reassoc", "contract", "nsz"}  # sums in any order, so that they are vectorised; infinities stay what they are


def edge_attention(
    query: Tensor, keys_values: Tensor, relation: Tensor, edges: Edges, heads: int, dropout: float = 0.0
) -> Tensor:
    """Attend over edges.

    Args:
        query: Of D destinations, scaled, float32 ``[D, heads c]``.
        keys_values: Of S sources, ``[S, 2 heads c]``.
        relation: What each edge adds to key and value, ``[E, 2 heads c]``.
        edges: Sorted by destination.
        heads: Number of heads, each of c numbers.
        dropout: Share of weights that are left out.

    Returns:
        Weighted sums of values, ``[D, heads c]``; 0 for a destination without edges.
    """
    keep = None
    if dropout > 0:
        keep = torch.empty((len(edges), heads), device=query.device).bernoulli_(1 - dropout).div_(1 - dropout)
    if query.device.type == "cpu" and query.dtype == torch.float32:
        return _Fused.apply(query, keys_values, relation, edges, heads, keep)
    return plain_edge_attention(query, keys_values, relation, edges, heads, keep)


def plain_edge_attention(
    query: Tensor, keys_values: Tensor, relation: Tensor, edges: Edges, heads: int, keep: Tensor | None = None
) -> Tensor:
    """The same by index arithmetic, for any device and type; `keep` scales the weights, ``[E, heads]``."""
    width = query.shape[1]
    key, value = (keys_values[edges.source] + relation).split(width, 1)
    logits = (query[edges.destination] * key).view(-1, heads, width // heads).sum(-1)
    where = edges.destination[:, None].expand_as(logits)
    most = torch.zeros((len(query), heads), dtype=logits.dtype, device=logits.device)
    most = most.scatter_reduce(0, where, logits.detach(), "amax", include_self=False)
    weights = (logits - most[edges.destination]).exp()
    total = torch.zeros_like(most).index_add(0, edges.destination, weights)
    weights = weights / (total[edges.destination] + TINY)
    if keep is not None:
        weights = weights * keep
    weighted = value.view(-1, heads, width // heads) * weights[..., None]
    return torch.zeros_like(query).index_add(0, edges.destination, weighted.view(-1, width))


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(context, query, keys_values, relation, edges, heads, keep):  # type: ignore[no-untyped-def]
        arrays = [t.detach().contiguous().numpy() for t in (query, keys_values, relation)]
        weights = np.empty((len(edges), heads), np.float32)
        out = np.zeros(query.shape, np.float32)
        kept = np.ones((1, heads), np.float32) if keep is None else keep.numpy()
        _forward(*arrays, edges.source.numpy(), edges.offsets.numpy(), kept, keep is not None, weights, out)
        context.save_for_backward(query, keys_values, relation)
        context.rest = edges, kept, keep is not None, weights
        return torch.from_numpy(out)

    @staticmethod
    def backward(context, gradient):  # type: ignore[no-untyped-def]
        edges, kept, drops, weights = context.rest
        arrays = [t.detach().contiguous().numpy() for t in context.saved_tensors]
        grads = [np.zeros_like(a) for a in arrays[:2]] + [np.empty_like(arrays[2])]
        _backward(
            *arrays,
            edges.source.numpy(),
            edges.offsets.numpy(),
            kept,
            drops,
            weights,
            gradient.contiguous().numpy(),
            *grads,
        )
        return *(torch.from_numpy(g) for g in grads), None, None, None


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _forward(query, keys_values, relation, source, offsets, keep, drops, weights, out):  # type: ignore[no-untyped-def]
    heads, width = weights.shape[1], query.shape[1]
    c = width // heads
    for i in range(len(query)):
        first, last = offsets[i], offsets[i + 1]
        if first == last:
            continue
        for h in range(heads):
            most = np.float32(-np.inf)
            for e in range(first, last):
                j = source[e]
                logit = np.float32(0)
                for k in range(h * c, h * c + c):
                    logit += query[i, k] * (keys_values[j, k] + relation[e, k])
                weights[e, h] = logit
                most = max(most, logit)
            total = np.float32(0)
            for e in range(first, last):
                weights[e, h] = np.exp(weights[e, h] - most)
                total += weights[e, h]
            scale = np.float32(1) / (total + np.float32(TINY))
            for e in range(first, last):
                weights[e, h] *= scale
                weight = weights[e, h]
                if drops:
                    weight *= keep[e, h]
                j = source[e]
                for k in range(h * c, h * c + c):
                    out[i, k] += weight * (keys_values[j, width + k] + relation[e, width + k])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _backward(  # type: ignore[no-untyped-def]
    query, keys_values, relation, source, offsets, keep, drops, weights, gradient, d_query, d_keys_values, d_relation
):
    heads, width = weights.shape[1], query.shape[1]
    c = width // heads
    for i in range(len(query)):
        first, last = offsets[i], offsets[i + 1]
        for h in range(heads):
            # First what each weight is worth, into the first number of the edge's row of this head.
            mean = np.float32(0)
            for e in range(first, last):
                j = source[e]
                worth = np.float32(0)
                for k in range(h * c, h * c + c):
                    worth += gradient[i, k] * (keys_values[j, width + k] + relation[e, width + k])
                if drops:
                    worth *= keep[e, h]
                d_relation[e, h * c] = worth
                mean += weights[e, h] * worth
            for e in range(first, last):
                j = source[e]
                slope = weights[e, h] * (d_relation[e, h * c] - mean)
                weight = weights[e, h]
                if drops:
                    weight *= keep[e, h]
                for k in range(h * c, h * c + c):
                    d_query[i, k] += slope * (keys_values[j, k] + relation[e, k])
                    d_relation[e, k] = slope * query[i, k]
                    d_keys_values[j, k] += slope * query[i, k]
                    d_relation[e, width + k] = weight * gradient[i, k]
                    d_keys_values[j, width + k] += weight * gradient[i, k]
