"""SMART checkpoints: one file with weights, vocabulary and card."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.catk_checkpoint import read_catk_checkpoint
from trafficgym_agents.policies.smart.config import SmartConfig
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.vocabulary import CLASSES, Vocabulary
from trafficgym_agents.training.checkpoint import Card, Checkpoint, load_checkpoint, save_checkpoint

KIND = "smart"
_ARRAYS = (*CLASSES, "map_pieces")
SHIPPED = {name: Path(__file__).with_name(f"{name}.safetensors") for name in ("micro", "micro_goals")}
"""Checkpoints that come with the package, by name; trained on generated scenes only."""


def save_smart(path: Path | str, network: SmartNetwork, card: Card) -> Card:
    """Write a network with its vocabulary; the card's kind, configuration and vocabulary are filled in.

    Args:
        path: Ends with ".safetensors"; the card is written beside it.
        network: The network.
        card: Algorithm, data, seed, parent and note count.

    Returns:
        The complete card.

    Raises:
        ConfigError: a weight is not finite.
        StoreError: the disk is full or refuses.
    """
    card = replace(card, kind=KIND, config=asdict(network.config), vocabulary_hash=network.vocabulary.hash)
    return save_checkpoint(path, network.state_dict(), card, arrays=vocabulary_arrays(network.vocabulary))


def load_smart(
    path: Path | str, *, vocabulary: Vocabulary | None = None, config: SmartConfig | None = None
) -> tuple[SmartNetwork, Card]:
    """Read a network, in evaluation mode, and its card.

    Args:
        path: Of the safetensors file, or the name of a shipped one (`SHIPPED`).
        vocabulary: The one that scenes were tokenised with; default the checkpoint's own.
        config: The preset that is wanted, of which dropout may differ; default the checkpoint's own.

    Raises:
        ConfigError: there is no such file; it is damaged, no SMART checkpoint, of another vocabulary or preset, or a
            weight is not finite.
    """
    file = Path(SHIPPED.get(str(path), path))
    if not file.is_file():
        shipped = ", ".join(map(repr, SHIPPED))
        raise ConfigError(f"{file}: there is no checkpoint; give a file, or the name of a shipped one: {shipped}")
    found = load_checkpoint(file, kind=KIND, vocabulary_hash=None if vocabulary is None else vocabulary.hash)
    own = SmartConfig(**found.card.config)
    network = SmartNetwork(config or own, vocabulary or vocabulary_of(found))
    found.load_into(network)
    _check_same(found.path, own, network.config)
    return network.eval(), found.card


def _check_same(path: Path, own: SmartConfig, wanted: SmartConfig) -> None:
    """Radii and heads are seen in no tensor's shape."""
    for name in (f.name for f in fields(SmartConfig) if f.name not in ("dropout", "history_dropout")):
        if getattr(own, name) != getattr(wanted, name):
            raise ConfigError(
                f"{path}: {name} is {getattr(own, name)!r}, and {getattr(wanted, name)!r} is wanted; it is of another "
                "preset: take the card's config"
            )


def load_catk_checkpoint(
    path: Path | str,
    vocab: Vocabulary | tuple[Path | str, Path | str],
    *,
    config: SmartConfig | None = None,
) -> SmartNetwork:
    """Make a network of a Lightning checkpoint that CAT-K's own code trained, in evaluation mode.

    It reads scenes in the source's coordinates: ``Tokenizer(network.vocabulary, frame="source")``. `save_smart` makes a
    checkpoint of ours of it.

    Args:
        path: The ``.ckpt`` file; nothing in it is run.
        vocab: The pickles of motion tokens and of map tokens that it was trained with, or what `load_catk_vocabulary`
            makes of them; they are not in the checkpoint.
        config: Sizes, for files that do not tell theirs (`read_catk_checkpoint`).

    Raises:
        ConfigError: see `read_catk_checkpoint`.
    """
    motions, pieces = (vocab, None) if isinstance(vocab, Vocabulary) else vocab
    found = read_catk_checkpoint(path, agent_vocabulary=motions, map_vocabulary=pieces, config=config)
    network = SmartNetwork(found.config, found.vocabulary)
    network.load_state_dict({name: torch.from_numpy(values) for name, values in found.state.items()})
    return network.eval()


def vocabulary_arrays(vocabulary: Vocabulary) -> dict[str, NDArray[np.float32]]:
    """What `vocabulary_of` makes a vocabulary of, to be kept in a checkpoint."""
    return {f"vocabulary.{name}": getattr(vocabulary, name) for name in _ARRAYS}


def vocabulary_of(checkpoint: Checkpoint) -> Vocabulary:
    """The vocabulary that lies in a checkpoint.

    Raises:
        ConfigError: there is none, or it is not that of the card.
    """
    names = {name: f"vocabulary.{name}" for name in _ARRAYS}
    missing = [name for name in names.values() if name not in checkpoint.arrays]
    if missing:
        raise ConfigError(f"{checkpoint.path}: holds no {missing[0]!r}; give the vocabulary it was trained with")
    arrays = {name: np.ascontiguousarray(checkpoint.arrays[stored]) for name, stored in names.items()}
    vocabulary = Vocabulary(**arrays, note={"from": str(checkpoint.path.name)})
    if vocabulary.hash != checkpoint.card.vocabulary_hash:
        raise ConfigError(
            f"{checkpoint.path}: its vocabulary has hash {vocabulary.hash}, its card says "
            f"{checkpoint.card.vocabulary_hash}; the file is damaged"
        )
    return vocabulary
