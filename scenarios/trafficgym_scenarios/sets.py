"""Named sets of scenes to train on and to compare with, fixed by seed; RTR's sizes (METHODS.md F.5)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.scene.scene import Scene
from trafficgym_scenarios.families import FAMILIES
from trafficgym_scenarios.scenario import ConcreteScenario, LogicalScenario, Split
from trafficgym_scenarios.scenes import LazyScenes

SIZES = {"longtail-train": 167, "longtail-eval": 166, "longtail-ood": 84}


def longtail_train() -> list[ConcreteScenario]:
    """167 concrete scenarios of the 25 families that are trained on."""
    return _take(_families(held_out=False), SIZES["longtail-train"], "train")


def longtail_eval() -> list[ConcreteScenario]:
    """166 of the same families, with parameters that were held out."""
    return _take(_families(held_out=False), SIZES["longtail-eval"], "eval")


def longtail_ood() -> list[ConcreteScenario]:
    """84 of the 11 families that are held out: other roads, other behaviour."""
    return _take(_families(held_out=True), SIZES["longtail-ood"], "any")


def fingerprint(scenarios: Sequence[ConcreteScenario]) -> str:
    """Hash of families, versions, parameters and seeds: two sets of the same fingerprint are the same."""
    return hashlib.sha256("\n".join(scenario.id for scenario in scenarios).encode()).hexdigest()[:16]


def _families(*, held_out: bool) -> list[LogicalScenario]:
    return [family for family in FAMILIES.values() if family.held_out == held_out]


def _take(families: Sequence[LogicalScenario], num: int, split: Split) -> list[ConcreteScenario]:
    """`num` scenarios, as many of each family as possible, the first families having one more."""
    return [families[i % len(families)].sample(i // len(families), split) for i in range(num)]
