"""Weights to keep and to give away: one safetensors file, and a card that says what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save

import trafficgym
from trafficgym.errors import ConfigError, names_nearest
from trafficgym.scene.atomic import AtomicFile, write_atomically
from trafficgym_agents.training.packing import header, in_order
from trafficgym_agents.training.plain import plain
from trafficgym_agents.training.tensors import difference, digest, not_finite, stored

FORMAT = "trafficgym-checkpoint-1"


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Card:
    """What a checkpoint is, and where it comes from."""

    kind: str
    """Of the model, such as "smart"."""
    config: Any
    """Its configuration: a dataclass or a mapping; plain values once it is read back."""
    algorithm: str
    """What trained it, such as "behaviour cloning"."""
    data: str
    """Scenes that it was trained on."""
    seed: int
    vocabulary_hash: str | None = None
    parent: str | None = None
    """`sha256` of the checkpoint that training began with."""
    note: Mapping[str, Any] = field(default_factory=dict)
    """Anything else: options, steps, what was measured."""
    parameters: int = 0
    """Number of weights, once where two names share one; this and what follows is filled in by `save_checkpoint`."""
    arrays: tuple[str, ...] = ()
    """Names of the arrays that are no weights."""
    sha256: str = ""
    """Over all tensors of the file (`tensors.digest`)."""
    trafficgym: str = ""
    """Version that wrote it."""
    format: str = FORMAT


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What `load_checkpoint` found."""

    path: Path
    card: Card
    weights: Mapping[str, torch.Tensor]
    arrays: Mapping[str, NDArray[Any]]

    def load_into(self, model: torch.nn.Module) -> None:
        """Set a model's weights.

        Raises:
            ConfigError: the model has other tensors; the message names the first and both shapes.
        """
        if differs := difference(self.weights, model.state_dict()):
            raise ConfigError(
                f"{self.path}: {differs}; it is of another preset: make the model from the card's config, "
                f"{self.card.config}"
            )
        model.load_state_dict(dict(self.weights))


def save_checkpoint(
    path: Path | str,
    weights: Mapping[str, torch.Tensor],
    card: Card,
    *,
    arrays: Mapping[str, NDArray[Any]] | None = None,
) -> Card:
    """Write weights, arrays and card to one safetensors file, whole or not at all, and the card beside it as JSON.

    Args:
        path: Ends with ".safetensors"; the card beside it is for people, and is not read back.
        weights: ``model.state_dict()``.
        card: What the caller knows of them.
        arrays: What must not get lost from the weights, such as ``vocabulary.vehicle``; names differ from theirs.

    Returns:
        The card, complete; its `sha256` is the `parent` of what is trained from here.

    Raises:
        ConfigError: a weight is not finite, an array has the name of a weight, or the path ends otherwise.
        StoreError: the disk is full or refuses.
    """
    path, arrays = Path(path), arrays or {}
    if path.suffix != ".safetensors":
        raise ConfigError(f"{path}: a checkpoint's name ends with .safetensors")
    if bad := not_finite(weights):
        raise ConfigError(f"{path}: is not written, since {bad!r} holds numbers that are not finite")
    if both := sorted(weights.keys() & arrays.keys()):
        raise ConfigError(f"{path}: is not written, since {both[0]!r} is the name of a weight and of an array")
    tensors = {name: stored(tensor) for name, tensor in weights.items()}
    sizes = {(t.device, t.data_ptr(), t.numel()): t.numel() for t in weights.values()}  # one tensor may have two names
    tensors |= {name: torch.from_numpy(np.array(values, order="C")) for name, values in arrays.items()}
    card = replace(
        card,
        parameters=sum(sizes.values()),
        arrays=tuple(sorted(arrays)),
        sha256=digest(tensors),
        trafficgym=trafficgym.__version__,
    )
    _write(path, tensors, card)
    return card


def load_checkpoint(path: Path | str, *, kind: str, vocabulary_hash: str | None = None) -> Checkpoint:
    """Read what `save_checkpoint` wrote, and check all of it; tensors lie on the CPU.

    Args:
        path: Of the safetensors file.
        kind: That the caller can use.
        vocabulary_hash: Of the vocabulary that will be used with it; None takes any.

    Raises:
        ConfigError: there is no such file; it is damaged, no checkpoint, of another kind or format; a weight is not
            finite; it was trained with another vocabulary.
    """
    path = Path(path)
    card, tensors = _read(path)
    if card.kind != kind:
        raise ConfigError(f"{path}: is a checkpoint of kind {card.kind!r}; {kind!r} is wanted")
    if vocabulary_hash is not None and card.vocabulary_hash != vocabulary_hash:
        raise ConfigError(
            f"{path}: was trained with the vocabulary of hash {card.vocabulary_hash}, and the given one has "
            f"{vocabulary_hash}; give the one it was trained with"
        )
    arrays = {name: tensors.pop(name).numpy() for name in card.arrays}
    if bad := not_finite(tensors):
        raise ConfigError(f"{path}: the weights {bad!r} hold numbers that are not finite; train again")
    return Checkpoint(path=path, card=card, weights=tensors, arrays=arrays)


def read_card(path: Path | str) -> Card:
    """The card of a checkpoint of any kind, which is checked like `load_checkpoint` does.

    Raises:
        ConfigError: there is no such file, it is damaged, or it is no checkpoint.
    """
    return _read(Path(path))[0]


def _write(path: Path, tensors: Mapping[str, torch.Tensor], card: Card) -> None:
    content = plain(card)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = AtomicFile(path)
    try:
        file.write(in_order(save(dict(tensors), _about(json.dumps(content, sort_keys=True)))))
        file.commit()
    finally:
        file.discard()
    write_atomically(path.with_suffix(".json"), json.dumps(content, indent=2) + "\n")


def _about(text: str) -> dict[str, str]:
    """What the file says beside its tensors."""
    return {"format": FORMAT, "card": text, "card_sha256": sha256(text.encode()).hexdigest()}


def _read(path: Path) -> tuple[Card, dict[str, torch.Tensor]]:
    if not path.is_file():
        raise ConfigError(f"{path}: there is no checkpoint")
    try:
        data = path.read_bytes()
        tensors, about = dict(sorted(load(data).items())), header(data)  # safetensors gives them in any order
    except (SafetensorError, OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: is damaged, or no safetensors file ({error}); get it again (pickles, .pt and .ckpt, are not read)"
        ) from None
    if about.get("format") != FORMAT:
        raise ConfigError(f"{path}: is no checkpoint of format {FORMAT!r}; it has {about.get('format')!r}")
    try:
        content = json.loads(about["card"])
        if about != _about(about["card"]):
            raise ValueError("its own SHA-256 differs")
        card = Card(**{f.name: content[f.name] for f in fields(Card)})
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: is damaged: its card cannot be read ({error!r}); get it again") from None
    found = digest(tensors)
    if found != card.sha256 or not tensors.keys() >= set(card.arrays):
        raise ConfigError(f"{path}: is damaged: its tensors have SHA-256 {found}, its card says {card.sha256}")
    return replace(card, arrays=tuple(card.arrays)), tensors
