"""The likeliest of many tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit

Tensor = Any


def likeliest(logits: Tensor, k: int) -> Tensor:
    """The tokens of the k largest logits ``[N, V]``, int64 ``[N, k]``, the largest first; as ``topk`` does."""
    if logits.device.type != "cpu" or logits.dtype != torch.float32 or 4 * k > logits.shape[1]:
        return logits.topk(k, -1).indices
    found = np.zeros((len(logits), k), np.int64)
    _likeliest(logits.detach().contiguous().numpy(), found, np.empty(k, np.float32), np.empty(2 * k, np.float32))
    return torch.from_numpy(found)


@njit(cache=True)
def _likeliest(logits, found, best, peaks):  # type: ignore[no-untyped-def]
    k, parts, num = len(best), len(peaks), logits.shape[1]
    for n in range(len(logits)):
        # Every part of a row has a peak: k logits at least are as large as the k-th of these, and few are larger.
        peaks[:] = logits[n, :parts]
        for first in range(parts, num, parts):
            for v in range(min(parts, num - first)):
                peaks[v] = max(peaks[v], logits[n, first + v])
        least = np.sort(peaks)[parts - k]
        size = 0
        for token in range(num):
            logit = logits[n, token]
            if logit < least or (size == k and logit <= best[k - 1]):
                continue
            at = min(size, k - 1)
            size = min(size + 1, k)
            while at > 0 and best[at - 1] < logit:
                best[at], found[n, at] = best[at - 1], found[n, at - 1]
                at -= 1
            best[at], found[n, at] = logit, token
