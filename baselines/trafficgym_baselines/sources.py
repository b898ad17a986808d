"""Scenes to train on, and others to measure on: generated ones, or the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import open_scenes
from trafficgym_scenarios import nominal_scenes

TRAINING_SEEDS = 10_000
"""Generated scenes from this seed on are for training, those below to measure on, in every script."""


def training_scenes(path: Path | None, num_scenes: int) -> tuple[Sequence[Scene], str]:
    """Scenes to train on, and what to call them in a checkpoint's card.

    Args:
        path: Store, file or folder, of which every fifth scene is left out; None for nominal traffic.
        num_scenes: How many are generated, or taken at most.
    """
    if path is None:
        return nominal_scenes(num_scenes, TRAINING_SEEDS), f"nominal scenes {TRAINING_SEEDS} to " + str(
            TRAINING_SEEDS + num_scenes - 1
        )
    scenes = open_scenes(path)
    chosen = [i for i in range(len(scenes)) if i % 5][:num_scenes]
    if not chosen:
        raise ConfigError(f"{path} holds {len(scenes)} scene(s), of which every fifth is held out; give more")
    return [scenes[i] for i in chosen], f"{len(chosen)} scenes of {path}, every fifth left out"


def held_out_scenes(path: Path | None, num_scenes: int) -> tuple[Sequence[Scene], str]:
    """Scenes to measure on; the others of `training_scenes`, and what to call them."""
    if path is None:
        return nominal_scenes(num_scenes), f"nominal scenes 0 to {num_scenes - 1}"
    scenes = open_scenes(path)
    chosen = list(range(0, len(scenes), 5))[:num_scenes]
    return [scenes[i] for i in chosen], f"{len(chosen)} scenes of {path}, every fifth"
