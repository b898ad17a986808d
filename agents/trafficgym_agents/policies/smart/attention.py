"""Attention in which keys and values also depend on how the two nodes lie to each other."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from trafficgym_agents.policies.smart.config import SmartConfig
from trafficgym_agents.policies.smart.edge_attention import edge_attention
from trafficgym_agents.policies.smart.edges import Edges
from trafficgym_agents.policies.smart.table_reading import standardise

Tensor = Any


class RelativeAttention(nn.Module):
    """One layer: attention over edges, a gate, a feed-forward network (METHODS.md A.4).

    Args:
        config: Width, heads, dropout.
        is_bipartite: Sources are other things than destinations, with a layer norm of their own.
    """

    def __init__(self, config: SmartConfig, *, is_bipartite: bool = False) -> None:
        super().__init__()
        hidden, inner = config.hidden, config.heads * config.head_size
        self.heads, self.dropout = config.heads, config.dropout
        self.scale = 1 / math.sqrt(config.head_size)
        self.to_q = nn.Linear(hidden, inner)
        self.to_k = nn.Linear(hidden, inner, bias=False)
        self.to_v = nn.Linear(hidden, inner)
        self.to_k_r = nn.Linear(hidden, inner, bias=False)
        self.to_v_r = nn.Linear(hidden, inner)
        self.to_s = nn.Linear(hidden, inner)
        self.to_g = nn.Linear(inner + hidden, inner)
        self.to_out = nn.Linear(inner, hidden)
        self.ff_mlp = nn.Sequential(
            nn.Linear(hidden, 4 * hidden), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(4 * hidden, hidden)
        )
        self.attn_prenorm_x_src = nn.LayerNorm(hidden)
        self.attn_prenorm_x_dst = nn.LayerNorm(hidden) if is_bipartite else self.attn_prenorm_x_src
        self.attn_prenorm_r = nn.LayerNorm(hidden)
        self.attn_postnorm = nn.LayerNorm(hidden)
        self.ff_prenorm = nn.LayerNorm(hidden)
        self.ff_postnorm = nn.LayerNorm(hidden)

    def forward(self, x: Tensor, relation: Tensor, edges: Edges) -> Tensor:
        """Let nodes ``[N, h]`` attend to each other; `relation` as for `attend`."""
        normed = self.attn_prenorm_x_src(x)
        return self._attend(x, normed, self._keys_values(normed), relation, edges)

    def attend(self, x: Tensor, keys_values: Tensor, relation: Tensor, edges: Edges) -> Tensor:
        """Let nodes attend to others.

        Args:
            x: Destinations, ``[D, h]``.
            keys_values: Of the sources, from `keys_values`, ``[S, 2 heads head_size]``.
            relation: `normalised` embedding of each edge, ``[E, h]``.
            edges: From sources to destinations.

        Returns:
            The destinations' new features, ``[D, h]``.
        """
        return self._attend(x, self.attn_prenorm_x_dst(x), keys_values, relation, edges)

    def keys_values(self, x: Tensor) -> Tensor:
        """Keys and values of sources ``[S, h]``, side by side, ``[S, 2 heads head_size]``."""
        return self._keys_values(self.attn_prenorm_x_src(x))

    def _keys_values(self, normed: Tensor) -> Tensor:
        # What relations add to every edge alike goes here: their biases, and the shift of their layer norm.
        shift = functional.linear(self.attn_prenorm_r.bias, torch.cat([self.to_k_r.weight, self.to_v_r.weight]))
        biases = torch.cat([torch.zeros_like(self.to_v.bias), self.to_v.bias + self.to_v_r.bias])
        return functional.linear(normed, torch.cat([self.to_k.weight, self.to_v.weight]), biases + shift)

    def _attend(self, x: Tensor, normed: Tensor, keys_values: Tensor, relation: Tensor, edges: Edges) -> Tensor:
        # The scale of the relations' layer norm goes into the weights: what is left of it is the same for all layers.
        to_key, to_value = (
            (layer.weight * self.attn_prenorm_r.weight).view(self.heads, -1, x.shape[1])
            for layer in (self.to_k_r, self.to_v_r)
        )
        query = self.to_q(normed) * self.scale
        bent = torch.einsum("dhc,hcn->dhn", query.view(len(x), *to_key.shape[:2]), to_key)
        dropout = self.dropout if self.training else 0.0
        found = edge_attention(query, keys_values, bent, relation, edges, dropout)
        seen = found.values + torch.einsum("dhn,hcn->dhc", found.relations, to_value).flatten(1)
        gate = torch.sigmoid(self.to_g(torch.cat([seen, normed], -1)))
        x = x + self.attn_postnorm(self.to_out(seen + gate * (self.to_s(normed) - seen)))
        return x + self.ff_postnorm(self.ff_mlp(self.ff_prenorm(x)))


CHUNK = 2048
"""Edges that are embedded together where no gradient is wanted: what is computed in between stays in the cache."""


def normalised(embedding: Any, values: Tensor) -> Tensor:
    """Embed what edges are like, ``[E, D]`` to ``[E, h]``, up to the scale and shift that each layer adds by itself.

    Args:
        embedding: From ``[n, D]`` to ``[n, h]``.
        values: The scalars of each edge.
    """
    if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in embedding.parameters()):
        found = embedding(values)
        return functional.layer_norm(found, found.shape[-1:])
    with torch.no_grad():
        last = embedding.last
        found = values.new_empty((len(values), last.out_features))
        for part, room in zip(values.split(CHUNK), found.split(CHUNK), strict=True):
            standardise(torch.mm(embedding.before_last(part), last.weight.T, out=room), last.bias)
        return found
