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
        given = [t.detach().contiguous().numpy() for t in (query, keys_values, bent, relation)]
        heads, c = bent.shape[1], query.shape[1] // bent.shape[1]
        given[0], given[1] = given[0].reshape(-1, heads, c), given[1].reshape(-1, 2, heads, c)
        weights = np.empty((heads, len(edges)), np.float32)
        kept = weights if keep is None else keep.numpy().T.copy()  # becomes the weights that are kept
        values, relations = np.zeros_like(given[0]), np.zeros_like(given[2])
        where = edges.source.numpy(), edges.offsets.numpy(), (0,) * c
        _forward(*given, *where, weights, kept, keep is not None, values, relations)
        context.rest = given, where, weights, kept
        return torch.from_numpy(values).flatten(1), torch.from_numpy(relations)

    @staticmethod
    def backward(context, d_values, d_relations):  # type: ignore[no-untyped-def]
        given, where, weights, kept = context.rest
        wants_relation = context.needs_input_grad[3]
        found = [np.zeros_like(a) for a in given[:3]]
        found.append(np.empty_like(given[3] if wants_relation else given[3][:0]))
        gradients = d_values.contiguous().numpy().reshape(given[0].shape), d_relations.contiguous().numpy()
        _backward(*given, *where, weights, kept, *gradients, *found)
        last = torch.from_numpy(found[3]) if wants_relation else None
        d_query, d_keys_values = (torch.from_numpy(a).flatten(1) for a in found[:2])
        return d_query, d_keys_values, torch.from_numpy(found[2]), last, None, None


# Kernels go through four edges and two heads at once, so that what is loaded is used several times; what is left over
# goes by itself. `unit` is a tuple as long as a head is wide, so that the compiler knows this length.


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _forward(  # type: ignore[no-untyped-def]
    query, keys_values, bent, relation, source, offsets, unit, weights, kept, drops, values, relations
):
    for i in range(len(query)):
        first, last = offsets[i], offsets[i + 1]
        _compare(query[i], bent[i], keys_values, 0, relation, source, first, last, unit, weights)
        for h in range(len(weights)):
            _softmax(weights[h, first:last])
            if drops:
                kept[h, first:last] *= weights[h, first:last]
        _add_up(kept, keys_values, 1, relation, source, first, last, unit, values[i], relations[i])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _backward(  # type: ignore[no-untyped-def]
    query,
    keys_values,
    bent,
    relation,
    source,
    offsets,
    unit,
    weights,
    kept,
    d_values,
    d_relations,
    d_query,
    d_keys_values,
    d_bent,
    d_relation,
):
    slope = np.empty_like(weights)  # first what weights are worth to the loss, then its slope by each logit
    for i in range(len(query)):
        first, last = offsets[i], offsets[i + 1]
        _compare(d_values[i], d_relations[i], keys_values, 1, relation, source, first, last, unit, slope)
        for h in range(len(weights)):
            _slope(weights[h, first:last], kept[h, first:last], slope[h, first:last])
        _add_up(slope, keys_values, 0, relation, source, first, last, unit, d_query[i], d_bent[i])
        _hand_back(query[i], d_values[i], source, first, last, unit, slope, kept, d_keys_values)
        if len(d_relation):
            _relate(bent[i], d_relations[i], first, last, slope, kept, d_relation)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _compare(one, bent, others, side, relation, source, first, last, unit, found):  # type: ignore[no-untyped-def]
    """Scalar products with what is at the other end of each edge, and with its relation, by head."""
    zero, c, pairs, after = np.float32(0), len(unit), len(found) - len(found) % 2, last - (last - first) % 4
    for h in range(0, pairs, 2):
        for e in range(first, after, 4):
            s0, t0, u0, v0, s1, t1, u1, v1 = zero, zero, zero, zero, zero, zero, zero, zero
            for k in range(relation.shape[1]):
                p, q = bent[h, k], bent[h + 1, k]
                s, t, u, v = relation[e, k], relation[e + 1, k], relation[e + 2, k], relation[e + 3, k]
                s0, t0, u0, v0 = s0 + p * s, t0 + p * t, u0 + p * u, v0 + p * v
                s1, t1, u1, v1 = s1 + q * s, t1 + q * t, u1 + q * u, v1 + q * v
            i, j, m, n = source[e], source[e + 1], source[e + 2], source[e + 3]
            for k in range(c):
                p, q = one[h, k], one[h + 1, k]
                s0, s1 = s0 + p * others[i, side, h, k], s1 + q * others[i, side, h + 1, k]
                t0, t1 = t0 + p * others[j, side, h, k], t1 + q * others[j, side, h + 1, k]
                u0, u1 = u0 + p * others[m, side, h, k], u1 + q * others[m, side, h + 1, k]
                v0, v1 = v0 + p * others[n, side, h, k], v1 + q * others[n, side, h + 1, k]
            found[h, e], found[h, e + 1], found[h, e + 2], found[h, e + 3] = s0, t0, u0, v0
            found[h + 1, e], found[h + 1, e + 1], found[h + 1, e + 2], found[h + 1, e + 3] = s1, t1, u1, v1
    for h in range(len(found)):
        for e in range(after if h < pairs else first, last):
            s = zero
            for k in range(relation.shape[1]):
                s += bent[h, k] * relation[e, k]
            for k in range(c):
                s += one[h, k] * others[source[e], side, h, k]
            found[h, e] = s


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _add_up(weights, others, side, relation, source, first, last, unit, values, relations):  # type: ignore[no-untyped-def]
    """Add what is at the other end of each edge, and its relation, by head."""
    c, pairs, after = len(unit), len(weights) - len(weights) % 2, last - (last - first) % 4
    for h in range(0, pairs, 2):
        for e in range(first, after, 4):
            s0, t0, u0, v0 = weights[h, e], weights[h, e + 1], weights[h, e + 2], weights[h, e + 3]
            s1, t1, u1, v1 = weights[h + 1, e], weights[h + 1, e + 1], weights[h + 1, e + 2], weights[h + 1, e + 3]
            for k in range(relation.shape[1]):
                s, t, u, v = relation[e, k], relation[e + 1, k], relation[e + 2, k], relation[e + 3, k]
                relations[h, k] += (s0 * s + t0 * t) + (u0 * u + v0 * v)
                relations[h + 1, k] += (s1 * s + t1 * t) + (u1 * u + v1 * v)
            i, j, m, n = source[e], source[e + 1], source[e + 2], source[e + 3]
            for k in range(c):
                s, t, u, v = others[i, side, h, k], others[j, side, h, k], others[m, side, h, k], others[n, side, h, k]
                values[h, k] += (s0 * s + t0 * t) + (u0 * u + v0 * v)
            for k in range(c):
                s, t = others[i, side, h + 1, k], others[j, side, h + 1, k]
                u, v = others[m, side, h + 1, k], others[n, side, h + 1, k]
                values[h + 1, k] += (s1 * s + t1 * t) + (u1 * u + v1 * v)
    for h in range(len(weights)):
        for e in range(after if h < pairs else first, last):
            s = weights[h, e]
            for k in range(relation.shape[1]):
                relations[h, k] += s * relation[e, k]
            for k in range(c):
                values[h, k] += s * others[source[e], side, h, k]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _softmax(logits):  # type: ignore[no-untyped-def]
    most, total = np.float32(-np.inf), np.float32(TINY)
    for e in range(len(logits)):
        most = max(most, logits[e])
    for e in range(len(logits)):
        logits[e] = _exp(logits[e] - most)
        total += logits[e]
    scale = np.float32(1) / total
    for e in range(len(logits)):
        logits[e] *= scale


@njit(cache=True, fastmath=FAST, error_model="numpy", inline="always")
def _exp(x):  # type: ignore[no-untyped-def]
    """Exponential of a number that is 0 or less, to the last bits of float32, as the compiler can vectorise it."""
    power = x * np.float32(1 / np.log(2))
    power = np.float32(-126) if power < np.float32(-126) else power  # in this way NaN remains
    whole = np.int32(power - np.float32(0.5))
    y = (power - np.float32(whole)) * np.float32(np.log(2))
    found = np.float32(1 / 720) + y * np.float32(1 / 5040)
    found = np.float32(1 / 24) + y * (np.float32(1 / 120) + y * found)
    found = np.float32(1) + y * (np.float32(1) + y * (np.float32(1 / 2) + y * (np.float32(1 / 6) + y * found)))
    return found * np.int32((whole + 127) << 23).view(np.float32)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _slope(weights, kept, worth):  # type: ignore[no-untyped-def]
    """From what weights are worth to the loss to its slopes by their logits."""
    mean = np.float32(0)
    for e in range(len(weights)):
        mean += kept[e] * worth[e]
    for e in range(len(weights)):
        worth[e] = kept[e] * worth[e] - weights[e] * mean


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _hand_back(query, d_values, source, first, last, unit, slope, kept, d_keys_values):  # type: ignore[no-untyped-def]
    """Gradients of the sources."""
    c = len(unit)
    for e in range(first, last):
        j = source[e]
        for h in range(len(slope)):
            steep, heavy = slope[h, e], kept[h, e]
            for k in range(c):
                d_keys_values[j, 0, h, k] += steep * query[h, k]
                d_keys_values[j, 1, h, k] += heavy * d_values[h, k]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _relate(bent, d_relations, first, last, slope, kept, d_relation):  # type: ignore[no-untyped-def]
    """Gradients of the edges' relations."""
    for e in range(first, last):
        for k in range(d_relation.shape[1]):
            d_relation[e, k] = 0
        for h in range(len(slope)):
            steep, heavy = slope[h, e], kept[h, e]
            for k in range(d_relation.shape[1]):
                d_relation[e, k] += steep * bent[h, k] + heavy * d_relations[h, k]
