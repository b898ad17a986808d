"""Reading between the rows of tables, and adding up what was read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch.nn import functional

Tensor = Any
FAST = {"reassoc", "contract", "nsz"}  # sums in any order, so that they are vectorised; infinities stay what they are


def read_tables(
    rows: Tensor, place: Tensor, sizes: tuple[int, ...], others: Tensor | None = None, norm: Any = None
) -> Tensor:
    """Sum over D tables of what they hold at a place, linear between rows.

    Args:
        rows: D tables, one below the other, float32 ``[sum of sizes, h]``.
        place: Where to read in each table, 0 to ``size - 1``, ``[N, D]``; beyond, the last row is read.
        sizes: Rows of each table, 2 or more.
        others: Is added to the sum, ``[N, h]``.
        norm: A layer norm that the sum goes through, and then through a ReLU.

    Returns:
        ``[N, h]``; differentiable by rows, others and the norm.
    """
    if rows.device.type != "cpu" or rows.dtype != torch.float32:
        found = plain_read_tables(rows, place, sizes)
    elif norm is not None and not torch.is_grad_enabled():
        return _read_normed(rows, place, sizes, others, norm)
    else:
        found = _Fused.apply(rows, place.contiguous(), sizes)
    found = found if others is None else found + others
    return found if norm is None else norm(found).relu()


def standardise(values: Tensor, bias: Tensor) -> None:
    """Add a bias ``[h]`` to ``[N, h]``, and do what a layer norm without scale and shift does, in place."""
    if values.device.type != "cpu" or values.dtype != torch.float32:
        values.copy_(functional.layer_norm(values + bias, values.shape[-1:]))
    else:
        _standardise(values.numpy(), bias.detach().numpy(), np.float32(1e-5))


def plain_read_tables(rows: Tensor, place: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The same in plain torch, for any device and type."""
    size = torch.tensor(sizes, device=rows.device)
    place = torch.minimum(place.clamp(min=0), size - 1)
    row = torch.minimum(place.floor(), size - 2)
    share = place - row
    index = row.long() + size.cumsum(0) - size
    index, weights = torch.cat([index, index + 1], 1), torch.cat([1 - share, share], 1)
    return functional.embedding_bag(index, rows, mode="sum", per_sample_weights=weights)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(context, rows, place, sizes):  # type: ignore[no-untyped-def]
        found = np.zeros((len(place), rows.shape[1]), np.float32)
        _read(rows.detach().numpy(), place.numpy(), np.array(sizes), found)
        context.save_for_backward(place)
        context.sizes = sizes
        return torch.from_numpy(found)

    @staticmethod
    def backward(context, gradient):  # type: ignore[no-untyped-def]
        (place,) = context.saved_tensors
        rows = np.zeros((sum(context.sizes), gradient.shape[1]), np.float32)
        _spread(gradient.contiguous().numpy(), place.numpy(), np.array(context.sizes), rows)
        return torch.from_numpy(rows), None, None


def _read_normed(rows: Tensor, place: Tensor, sizes: tuple[int, ...], others: Tensor | None, norm: Any) -> Tensor:
    found = np.zeros((len(place), rows.shape[1]), np.float32) if others is None else others.contiguous().numpy()
    _read(rows.detach().numpy(), place.contiguous().numpy(), np.array(sizes), found)
    _standardise(found, np.zeros(rows.shape[1], np.float32), np.float32(norm.eps))
    _rectify(found, norm.weight.detach().numpy(), norm.bias.detach().numpy())
    return torch.from_numpy(found)


@njit(cache=True, error_model="numpy")
def _between(at, size):  # type: ignore[no-untyped-def]
    """The row before a place, and how far from there to the next one it is."""
    at = min(max(at, np.float32(0)), np.float32(size - 1))
    row = min(int(at), size - 2)
    return row, at - np.float32(row)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _read(rows, place, sizes, found):  # type: ignore[no-untyped-def]
    """Add what tables hold."""
    for n in range(len(place)):
        first = 0
        for d in range(place.shape[1]):
            row, share = _between(place[n, d], sizes[d])
            row += first
            for k in range(rows.shape[1]):
                found[n, k] += rows[row, k] + share * (rows[row + 1, k] - rows[row, k])
            first += sizes[d]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _standardise(values, bias, eps):  # type: ignore[no-untyped-def]
    num = np.float32(values.shape[1])
    for n in range(len(values)):
        total, squares = np.float32(0), np.float32(0)
        for k in range(values.shape[1]):
            values[n, k] += bias[k]
            total += values[n, k]
        mean = total / num
        for k in range(values.shape[1]):
            values[n, k] -= mean
            squares += values[n, k] * values[n, k]
        factor = np.float32(1) / np.sqrt(squares / num + eps)
        for k in range(values.shape[1]):
            values[n, k] *= factor


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _rectify(values, scale, shift):  # type: ignore[no-untyped-def]
    """Scale, shift and ReLU, in place."""
    for n in range(len(values)):
        for k in range(values.shape[1]):
            values[n, k] = max(values[n, k] * scale[k] + shift[k], np.float32(0))


@njit(cache=True, error_model="numpy")
def _spread(gradient, place, sizes, rows):  # type: ignore[no-untyped-def]
    for n in range(len(place)):
        first = 0
        for d in range(place.shape[1]):
            row, share = _between(place[n, d], sizes[d])
            rest, row = np.float32(1) - share, row + first
            for k in range(rows.shape[1]):
                rows[row, k] += rest * gradient[n, k]
                rows[row + 1, k] += share * gradient[n, k]
            first += sizes[d]
