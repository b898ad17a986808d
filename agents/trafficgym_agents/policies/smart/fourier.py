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
        return self.last(self.before_last(values, others))

    @property
    def last(self) -> Any:
        """A linear layer."""
        return self.to_out[-1]

    def before_last(self, values: Tensor, others: Tensor | None = None) -> Tensor:
        """What the last layer is given."""
        total = self.branch(0, values[:, 0])
        for i in range(1, len(self.mlps)):
            total = total + self.branch(i, values[:, i])
        return self.to_out[:-1](total if others is None else total + others)

    def branch(self, i: int, values: Tensor) -> Tensor:
        """What scalar i alone adds, ``[N, h]``, of values ``[N]``."""
        values = values.unsqueeze(-1)
        angle = values * self.freqs.weight[i] * 2 * math.pi  # in this order of products, like the reference
        return self.mlps[i](torch.cat([angle.cos(), angle.sin(), values], -1))


class Tables:
    """A `FourierEmbedding` of bounded scalars, read between the rows of a table instead of computed.

    The branches are functions of one scalar each, so that a few thousand rows hold them for any number of edges.
    Gradients flow into the rows, and from there into the network. Between rows it is linear: with 1024 rows, the logits
    of the reference's networks move by up to 1e-5, and up to 1e-4 in its largest.

    Args:
        embedding: The exact one.
        lows: Of each scalar.
        highs: Of each scalar.
        sizes: Rows for each scalar, evenly from its low to its high, both included; 0: it is computed after all.
    """

    def __init__(
        self,
        embedding: FourierEmbedding,
        lows: tuple[float, ...],
        highs: tuple[float, ...],
        sizes: tuple[int, ...],
    ) -> None:
        self._embedding, device = embedding, embedding.freqs.weight.device
        self._in_rows = [i for i, size in enumerate(sizes) if size]
        self._computed = [i for i, size in enumerate(sizes) if not size]
        self._sizes = tuple(sizes[i] for i in self._in_rows)
        grids = {i: torch.linspace(lows[i], highs[i], sizes[i], device=device) for i in self._in_rows}
        self._rows = torch.cat([embedding.branch(i, grid) for i, grid in grids.items()])
        self._low = torch.tensor([lows[i] for i in self._in_rows], device=device)
        self._scale = torch.tensor([(sizes[i] - 1) / (highs[i] - lows[i]) for i in self._in_rows], device=device)

    def parameters(self) -> Iterator[Tensor]:
        """What gradients flow into."""
        return self._embedding.parameters()

    def __call__(self, values: Tensor) -> Tensor:
        """Embed scalars, float32 ``[N, D]``, to ``[N, h]``."""
        return self.last(self.before_last(values))

    @property
    def last(self) -> Any:
        """A linear layer."""
        return self._embedding.last

    def before_last(self, values: Tensor) -> Tensor:
        """What the last layer is given."""
        others = sum(self._embedding.branch(i, values[:, i]) for i in self._computed) if self._computed else None
        in_rows = values[:, self._in_rows] if self._computed else values
        place = (in_rows - self._low) * self._scale
        return read_tables(self._rows, place, self._sizes, others, self._embedding.to_out[0])
