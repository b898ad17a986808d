"""Fourier embeddings of scalars, exact or read from a table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from trafficgym_agents.policies.smart.table_reading import read_tables

Tensor = Any


def mlp(size_in: int, hidden: int, size_out: int) -> Any:
    """The two-layer network of the reference: linear, layer norm, ReLU, linear."""
    return nn.Sequential(nn.Linear(size_in, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, size_out))


class FourierEmbedding(nn.Module):
    """D scalars to h features (METHODS.md A.4; golden/smart/README.md section 4).

    Each scalar x has learned frequencies f; ``[cos 2 pi f x, sin 2 pi f x, x]`` goes through a network of its own; the
    sum of the D results, and of what else describes the same thing, through a last layer.

    Args:
        scalars: D.
        hidden: h.
        frequencies: Of each scalar.
    """

    def __init__(self, scalars: int, hidden: int, frequencies: int) -> None:
        super().__init__()
        self.freqs = nn.Embedding(scalars, frequencies)
        self.mlps = nn.ModuleList(mlp(2 * frequencies + 1, hidden, hidden) for _ in range(scalars))
        self.to_out = nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden))

    def forward(self, values: Tensor, others: Tensor | None = None) -> Tensor:
        """Embed scalars, float32 ``[N, D]``, to ``[N, h]``; `others`, ``[N, h]``, is added before the last layer."""
        total = self.branch(0, values[:, 0])
        for i in range(1, len(self.mlps)):
            total = total + self.branch(i, values[:, i])
        return self.to_out(total if others is None else total + others)

    def branch(self, i: int, values: Tensor) -> Tensor:
        """What scalar i alone adds, ``[N, h]``, of values ``[N]``."""
        values = values.unsqueeze(-1)
        angle = values * self.freqs.weight[i] * 2 * math.pi  # in this order of products, like the reference
        return self.mlps[i](torch.cat([angle.cos(), angle.sin(), values], -1))

    def tables(self, lows: tuple[float, ...], highs: tuple[float, ...], sizes: tuple[int, ...]) -> Tables:
        """What each scalar adds, at so many values evenly from its low to its high, both included."""
        device = self.freqs.weight.device
        grids = [torch.linspace(*each, device=device) for each in zip(lows, highs, sizes, strict=True)]
        rows = [self.branch(i, grid) for i, grid in enumerate(grids)]
        return Tables(torch.cat(rows), torch.tensor(lows), torch.tensor(highs), sizes, self.to_out)


class Tables:
    """A `FourierEmbedding` of bounded scalars, read between the rows of a table instead of computed.

    The branches are functions of one scalar each, so that a few thousand rows hold them for any number of edges.
    Gradients flow into the rows, and from there into the network. Between rows it is linear: with 1024 rows, the logits
    of the reference's networks move by up to 1e-5, and up to 1e-4 in its largest.
    """

    def __init__(self, rows: Tensor, lows: Tensor, highs: Tensor, sizes: tuple[int, ...], to_out: Any) -> None:
        self.rows, self.sizes = rows, sizes
        self.norm, _, self.to_out = to_out
        self.low = lows.to(rows.device)
        self.scale = (torch.tensor(sizes, device=rows.device) - 1) / (highs.to(rows.device) - self.low)

    def parameters(self) -> Iterator[Tensor]:
        """What gradients flow into."""
        yield from (self.rows, *self.norm.parameters(), *self.to_out.parameters())

    def __call__(self, values: Tensor) -> Tensor:
        """Embed scalars, float32 ``[N, D]``, to ``[N, h]``."""
        place = (values - self.low) * self.scale
        return self.to_out(read_tables(self.rows, place, self.sizes, self.norm))
