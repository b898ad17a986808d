"""Gymnasium ids, known after ``import trafficgym``."""

from __future__ import annotations

import gymnasium

IDS = ("trafficgym/Scene-v0",)


def register() -> None:
    """Register every id; nothing heavy is imported before an environment is made."""
    for name in IDS:
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="trafficgym.envs.single:SceneEnv",
                vector_entry_point="trafficgym.envs.single:SceneVectorEnv",
            )
