"""Nested values as one safetensors file: tensors as tensors, the rest as JSON in its header."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from trafficgym.errors import ConfigError
from trafficgym_agents.training.tensors import contents, stored

FORMAT = "trafficgym-state-1"


def pack(tree: Any) -> bytes:
    """The bytes of a file from which `unpack` makes the same values.

    Args:
        tree: None, bool, int, float, str, tensors, arrays, and dicts, lists and tuples of them.

    Raises:
        ConfigError: a value is of another kind; the message says where.
    """
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(_describe(tree, "", tensors))
    return in_order(save(tensors, {"format": FORMAT, "tree": text, "checksum": _checksum(text, tensors)}))


def unpack(data: bytes) -> Any:
    """What `pack` was given; tensors lie on the CPU.

    Raises:
        ValueError: the bytes are cut short, changed, or of another format.
    """
    try:
        tensors, about = load(data), header(data)
        if about.get("format") != FORMAT:
            raise ValueError(f"its format is {about.get('format')!r}, not {FORMAT!r}")
        if about["checksum"] != _checksum(about["tree"], tensors):
            raise ValueError("its checksum does not fit")
        return _build(json.loads(about["tree"]), tensors)
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from None


def in_order(data: bytes) -> bytes:
    """A safetensors file with its header sorted: by itself the library writes another order every time."""
    size = int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def header(data: bytes) -> dict[str, str]:
    """The texts that a safetensors file carries beside its tensors."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]).get("__metadata__") or {}


def _checksum(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    total = zlib.crc32(text.encode())
    for content in contents(tensors):
        total = zlib.crc32(content, total)
    return f"{total:08x}"


def _describe(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON in which every object is a mark: of a tensor, an array, a dict (keys may be numbers) or a tuple."""
    if isinstance(value, torch.Tensor):
        return {"tensor": _keep(stored(value), path, tensors)}
    if isinstance(value, np.ndarray):
        return {"array": _keep(torch.from_numpy(np.array(value, order="C")), path, tensors)}
    if isinstance(value, Mapping):
        return {"dict": [[key, _describe(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_describe(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"{path}: a {type(value).__name__} cannot be saved; only numbers, texts, tensors and arrays can")


def _keep(tensor: torch.Tensor, path: str, tensors: dict[str, torch.Tensor]) -> str:
    if path in tensors:
        raise ConfigError(f"{path}: two tensors have this name")
    tensors[path] = tensor
    return path


def _build(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_build(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((mark, content),) = value.items()
    if mark == "tensor":
        return tensors[content]
    if mark == "array":
        return tensors[content].numpy()
    if mark == "tuple":
        return tuple(_build(item, tensors) for item in content)
    return {key: _build(item, tensors) for key, item in content}
