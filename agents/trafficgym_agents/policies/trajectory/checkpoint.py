"""Checkpoints of trajectory policies: one file with weights, vocabulary and card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trafficgym_agents.policies.smart.checkpoint import vocabulary_arrays, vocabulary_of
from trafficgym_agents.policies.smart.vocabulary import Vocabulary
from trafficgym_agents.policies.trajectory.config import TrajectoryConfig
from trafficgym_agents.policies.trajectory.network import TrajectoryNetwork
from trafficgym_agents.training.checkpoint import Card, load_checkpoint, save_checkpoint

KIND = "trajectory"


def save_trajectory(path: Path | str, network: TrajectoryNetwork, card: Card) -> Card:
    """Write a network with its vocabulary; see `smart.checkpoint.save_smart`."""
    card = replace(card, kind=KIND, config=network.config.plain(), vocabulary_hash=network.vocabulary.hash)
    return save_checkpoint(path, network.state_dict(), card, arrays=vocabulary_arrays(network.vocabulary))


def load_trajectory(path: Path | str, *, vocabulary: Vocabulary | None = None) -> tuple[TrajectoryNetwork, Card]:
    """Read a network, in evaluation mode, and its card.

    Args:
        path: Of the safetensors file.
        vocabulary: The one that scenes were tokenised with; default the checkpoint's own.

    Raises:
        ConfigError: there is no such file; it is damaged, of another kind or vocabulary, or a weight is not finite.
    """
    found = load_checkpoint(path, kind=KIND, vocabulary_hash=None if vocabulary is None else vocabulary.hash)
    network = TrajectoryNetwork(TrajectoryConfig.from_plain(found.card.config), vocabulary or vocabulary_of(found))
    found.load_into(network)
    return network.eval(), found.card
