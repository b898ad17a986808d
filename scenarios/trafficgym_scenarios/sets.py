"""Named sets of scenarios, to train on and to compare with; of the sizes of RTR (METHODS.md F.5), fixed by seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

from trafficgym_scenarios.families import HELD_OUT, TRAINED
from trafficgym_scenarios.nominal import NominalConfig, nominal_scene
from trafficgym_scenarios.scenario import ConcreteScenario, LogicalScenario, Split
from trafficgym_scenarios.scenes import LazyScenes

_NOMINAL = NominalConfig(
    roads=("highway", "on_ramp", "off_ramp", "merge", "fork", "lane_drop", "weaving"), num_steps=201
)


def fingerprint(scenarios: Sequence[ConcreteScenario]) -> str:
    """Hash of families, versions, parameters and seeds: sets of the same fingerprint are the same."""
    return hashlib.sha256("\n".join(scenario.id for scenario in scenarios).encode()).hexdigest()[:16]


def _take(families: Sequence[LogicalScenario], num: int, split: Split) -> tuple[ConcreteScenario, ...]:
    """`num` scenarios, the families taking turns."""
    return tuple(families[i % len(families)].sample(i // len(families), split) for i in range(num))


LONGTAIL_TRAIN = _take(TRAINED, 167, "train")
"""Of the families that are trained on."""
LONGTAIL_EVAL = _take(TRAINED, 166, "eval")
"""Of the same families, with parameters that were held out."""
LONGTAIL_OOD = _take(HELD_OUT, 84, "any")
"""Of families that are held out: other roads, other behaviour."""
NOMINAL_TRAIN = LazyScenes(partial(nominal_scene, config=_NOMINAL), 465)
"""20 s of nominal traffic on highways of all kinds."""
NOMINAL_EVAL = LazyScenes(lambda i: nominal_scene(len(NOMINAL_TRAIN) + i, _NOMINAL), 115)
"""Others of the same kind."""

FINGERPRINTS = {
    "LONGTAIL_TRAIN": "6a1aacf4adbeff6f",
    "LONGTAIL_EVAL": "91531ee16f6cc300",
    "LONGTAIL_OOD": "29d950829914ed61",
}
"""What `fingerprint` gives of each; who changes a family changes these, and raises the family's version."""
