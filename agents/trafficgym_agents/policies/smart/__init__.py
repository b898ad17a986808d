"""SMART: next-token traffic agents (METHODS.md A)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trafficgym_agents.policies.smart.catk_vocabulary import load_catk_vocabulary
    from trafficgym_agents.policies.smart.checkpoint import load_catk_checkpoint, load_smart, save_smart
    from trafficgym_agents.policies.smart.conditioning import conditioned
    from trafficgym_agents.policies.smart.config import PRESETS, SmartConfig, preset
    from trafficgym_agents.policies.smart.network import SmartNetwork
    from trafficgym_agents.policies.smart.policy import SmartPolicy
    from trafficgym_agents.policies.smart.sampling import Sampling
    from trafficgym_agents.policies.smart.simulation import simulate
    from trafficgym_agents.policies.smart.tokenizer import Tokenizer
    from trafficgym_agents.policies.smart.vocabulary import Vocabulary
    from trafficgym_agents.policies.smart.vocabulary_builder import build_vocabulary

# Lazily, so that a part can be used without the others being loaded.
_LAZY = {
    "PRESETS": "config",
    "Sampling": "sampling",
    "SmartConfig": "config",
    "SmartNetwork": "network",
    "SmartPolicy": "policy",
    "Tokenizer": "tokenizer",
    "Vocabulary": "vocabulary",
    "build_vocabulary": "vocabulary_builder",
    "conditioned": "conditioning",
    "load_catk_checkpoint": "checkpoint",
    "load_catk_vocabulary": "catk_vocabulary",
    "load_smart": "checkpoint",
    "preset": "config",
    "save_smart": "checkpoint",
    "simulate": "simulation",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"trafficgym_agents.policies.smart.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'trafficgym_agents.policies.smart' has no attribute {name!r}")


__all__ = [
    "PRESETS",
    "Sampling",
    "SmartConfig",
    "SmartNetwork",
    "SmartPolicy",
    "Tokenizer",
    "Vocabulary",
    "build_vocabulary",
    "conditioned",
    "load_catk_checkpoint",
    "load_catk_vocabulary",
    "load_smart",
    "preset",
    "save_smart",
    "simulate",
]
