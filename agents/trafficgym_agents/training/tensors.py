"""What is asked of named tensors before they are trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch


def stored(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of its own on the CPU, as safetensors wants it."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256, as hexadecimal digits, over names, types, shapes and values, in the order of the names."""
    sha = hashlib.sha256()
    for content in contents(tensors):
        sha.update(content)
    return sha.hexdigest()


def contents(tensors: Mapping[str, torch.Tensor]) -> Iterator[bytes | memoryview]:
    """Name, type, shape and values of contiguous tensors on the CPU, in the order of the names."""
    for name in sorted(tensors):
        yield f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode()
        yield tensors[name].reshape(-1).view(torch.uint8).numpy().data


def not_finite(tensors: Mapping[str, Any]) -> str | None:
    """Name of the first tensor that holds NaN or an infinite number."""
    for name, tensor in tensors.items():
        if torch.is_tensor(tensor) and not torch.isfinite(tensor).all():
            return name
    return None


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """The first tensor, in the order of the model, that differs in name or shape, in words."""
    for name, tensor in wanted.items():
        if name not in found:
            return f"lacks the tensor {name!r}"
        if tuple(found[name].shape) != tuple(tensor.shape):
            return f"has {name!r} of shape {_shape(found[name])}, where the model has {_shape(tensor)}"
    surplus = sorted(name for name in found if name not in wanted)
    return f"has a tensor {surplus[0]!r}, which the model lacks" if surplus else None


def _shape(tensor: torch.Tensor) -> str:
    return str(list(tensor.shape))
