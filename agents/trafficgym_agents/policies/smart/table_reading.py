"""Reading between the rows of tables, and adding up what was read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch.nn import functional

Tensor = Any


def read_tables(rows: Tensor, place: Tensor, size: int) -> Tensor:
    """Sum over D tables of what they hold at a place, linear between rows.

    Args:
        rows: D tables of `size` rows each, one below the other, float32 ``[D size, h]``.
        place: Where to read in each table, 0 to ``size - 1``, ``[N, D]``; beyond, the last row is read.
        size: Rows of a table, 2 or more.

    Returns:
        ``[N, h]``; differentiable by the rows.
    """
    if rows.device.type == "cpu" and rows.dtype == torch.float32:
        return _Fused.apply(rows, place.contiguous(), size)
    return plain_read_tables(rows, place, size)


def plain_read_tables(rows: Tensor, place: Tensor, size: int) -> Tensor:
    """The same in plain torch, for any device and type."""
    place = place.clamp(0, size - 1)
    row = place.floor().clamp(max=size - 2)
    share = place - row
    index = row.long() + torch.arange(place.shape[1], device=rows.device) * size
    index, weights = torch.cat([index, index + 1], 1), torch.cat([1 - share, share], 1)
    return functional.embedding_bag(index, rows, mode="sum", per_sample_weights=weights)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(context, rows, place, size):  # type: ignore[no-untyped-def]
        found = np.empty((len(place), rows.shape[1]), np.float32)
        _read(rows.detach().numpy(), place.numpy(), size, found)
        context.save_for_backward(place)
        context.size, context.num_rows = size, len(rows)
        return torch.from_numpy(found)

    @staticmethod
    def backward(context, gradient):  # type: ignore[no-untyped-def]
        (place,) = context.saved_tensors
        rows = np.zeros((context.num_rows, gradient.shape[1]), np.float32)
        _spread(gradient.contiguous().numpy(), place.numpy(), context.size, rows)
        return torch.from_numpy(rows), None, None


@njit(cache=True, error_model="numpy")
def _read(rows, place, size, found):  # type: ignore[no-untyped-def]
    last = np.float32(size - 1)
    for n in range(len(place)):
        for d in range(place.shape[1]):
            at = min(max(place[n, d], np.float32(0)), last)
            row = min(int(at), size - 2)
            share = at - np.float32(row)
            rest = np.float32(1) - share
            row += d * size
            if d == 0:
                for k in range(rows.shape[1]):
                    found[n, k] = rest * rows[row, k] + share * rows[row + 1, k]
            else:
                for k in range(rows.shape[1]):
                    found[n, k] += rest * rows[row, k] + share * rows[row + 1, k]


@njit(cache=True, error_model="numpy")
def _spread(gradient, place, size, rows):  # type: ignore[no-untyped-def]
    last = np.float32(size - 1)
    for n in range(len(place)):
        for d in range(place.shape[1]):
            at = min(max(place[n, d], np.float32(0)), last)
            row = min(int(at), size - 2)
            share = at - np.float32(row)
            rest = np.float32(1) - share
            row += d * size
            for k in range(rows.shape[1]):
                rows[row, k] += rest * gradient[n, k]
                rows[row + 1, k] += share * gradient[n, k]
