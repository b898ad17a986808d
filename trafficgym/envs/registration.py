"""Gymnasium ids, known after ``import trafficgym``."""

from __future__ import annotations

from importlib.metadata import entry_points

import gymnasium

IDS = ("trafficgym/Scene-v0",)
PLUGINS = "trafficgym.ids"
"""Group of entry points: functions that register ids of other packages, without importing anything heavy."""


def register() -> None:
    """Register every id; nothing heavy is imported before an environment is made."""
    for name in IDS:
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="trafficgym.envs.single:SceneEnv",
                vector_entry_point="trafficgym.envs.single:SceneVectorEnv",
            )
    for plugin in entry_points(group=PLUGINS):
        plugin.load()()
