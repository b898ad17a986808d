"""Gymnasium ids of the families; this module is read by ``import trafficgym`` and imports nothing heavy."""

from __future__ import annotations

import gymnasium

FAMILY_NAMES = (
    "hard-brake",
    "brake-and-release",
    "slow-lead",
    "stopped-lead",
    "stop-and-go",
    "cut-out",
    "cut-in",
    "cut-in-from-right",
    "double-cut-in",
    "cut-in-and-brake",
    "drift",
    "swerve",
    "tailgater",
    "ramp-squeeze",
    "forced-merge",
    "lane-drop",
    "weaving",
    "late-exit",
    "jaywalker",
    "cyclist-from-occlusion",
    "left-across-path",
    "red-light-runner",
    "stop-sign-runner",
    "roundabout-intruder",
    "oncoming-overtake",
    "full-stop",
    "rear-end-approach",
    "zipper-merge",
    "debris",
    "wrong-way",
    "cyclist-swerve",
    "turn-into-path",
    "reversing-car",
    "door-opener",
    "u-turn",
    "pull-out",
)
"""The keys of `families.FAMILIES`, in its order."""


def gym_id(name: str) -> str:
    """The id of a family, ``trafficgym/CutIn-v0`` for ``cut-in``."""
    return f"trafficgym/{''.join(part.capitalize() for part in name.split('-'))}-v0"


IDS = {gym_id(name): name for name in FAMILY_NAMES} | {
    "trafficgym/LongTail-v0": "long-tail",
    "trafficgym/Nominal-v0": "nominal",
}
"""Ids, and what `environments.generated_scenes` calls their scenes."""


def register() -> None:
    """Register them all."""
    for id, name in IDS.items():
        if id not in gymnasium.registry:
            gymnasium.register(
                id=id,
                entry_point="trafficgym_scenarios.environments:make",
                vector_entry_point="trafficgym_scenarios.environments:make_vec",
                kwargs={"name": name},
            )
