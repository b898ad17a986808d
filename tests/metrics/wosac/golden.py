"""What the official implementation gave, found by listing ``golden/wosac``: new scenes there are tested, too."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conftest import REPO
from trafficgym.metrics.wosac import Features, Realism
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import open_scenes

ROOT = (REPO / os.environ.get("TRAFFICGYM_TEST_DATA", "../shared")).resolve()
FOLDER = ROOT / "golden/wosac"
NUM_ROLLOUTS = 32
METRICS_OF = {"2025": "2025_sim_agents", "2024": "2024", "2023": "2023_plus_tl_stub"}
OFFICIAL_NAME = {
    "collision_indication": "collision_per_step",
    "offroad_indication": "offroad_per_step",
    "traffic_light_violation": "traffic_light_violation_per_step",
    "displacement_error": "average_displacement_error",
}
"""Of features that the official proto calls something else."""


@dataclass(frozen=True)
class Case:
    """One kind of rollouts of one scene."""

    scene_id: str
    kind: str

    def __str__(self) -> str:
        return f"{self.scene_id}-{self.kind}"

    def file(self, what: str) -> Any:
        return np.load(FOLDER / self.scene_id / f"{self.kind}_{what}.npz")

    @cached_property
    def rollouts(self) -> NDArray[np.float32]:
        """As stored, ``[R', N, 80, 4]`` in the source's coordinates; R' is 1 where all rollouts are the same."""
        rollouts: NDArray[np.float32] = self.file("rollouts")["traj"]
        return rollouts

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = self.file("rollouts")["object_ids"]
        return ids

    @property
    def all_rollouts(self) -> NDArray[np.float32]:
        """All 32."""
        return np.repeat(self.rollouts, NUM_ROLLOUTS // len(self.rollouts), axis=0)

    @cached_property
    def features(self) -> dict[str, NDArray]:
        with self.file("features") as stored:
            return dict(stored)

    @cached_property
    def likelihoods(self) -> dict[str, NDArray]:
        with self.file("likelihoods_2025") as stored:
            return dict(stored)

    def metrics(self, config: str) -> dict[str, float] | None:
        """What the official code printed, buckets included; None where it was not run with that config."""
        of_scene = official_metrics().get(METRICS_OF[config], {}).get(self.kind, {}).get(self.scene_id)
        if of_scene is None:
            return None
        buckets = {name: of_scene["bucketed"][name] for name in of_scene["bucketed"] if name.endswith("_metrics")}
        return {name: value for name, value in (of_scene["metrics"] | buckets).items() if name != "scenario_id"}


def _find_cases() -> list[Case]:
    files = sorted(FOLDER.glob("*/*_rollouts.npz"))
    return [Case(file.parent.name, file.name.removesuffix("_rollouts.npz")) for file in files]


CASES = _find_cases()
SCENE_IDS = sorted({case.scene_id for case in CASES})


@cache
def official_metrics() -> dict[str, Any]:
    """``[config][kind][scene id]``, from the common file and those of the scenes."""
    found: dict[str, Any] = {}
    for file in [*FOLDER.glob("*/metrics.json"), FOLDER / "metrics.json"]:
        for config, kinds in json.loads(file.read_text()).items():
            for kind, scenes in kinds.items():
                found.setdefault(config, {}).setdefault(kind, {}).update(scenes)
    return found


@cache
def scenes() -> dict[str, Scene]:
    """The scenes of all cases, read from the recorded data."""
    found = {}
    for folder in ("womd", "womd_converted"):
        for scene in open_scenes(ROOT / "data" / folder):
            if scene.id in SCENE_IDS and scene.num_steps == 91:
                found.setdefault(scene.id, scene)
    return found


@cache
def realism(scene_id: str, config: str = "2025") -> Realism:
    return Realism(scenes()[scene_id], config)


def deviations(ours: Features, official: dict[str, NDArray]) -> dict[str, float]:
    """Largest absolute difference of each feature; infinite where a flag, or what is not a number, differs."""
    found = {}
    for name in ours.__dataclass_fields__:
        mine, theirs = getattr(ours, name), official[OFFICIAL_NAME.get(name, name)]
        if len(mine) != len(theirs):  # the same rollout many times, stored once
            assert len(theirs) == 1 or len(mine) == 1
        if mine.dtype == np.bool_:
            found[name] = np.inf if (mine != theirs).any() else 0.0
            continue
        apart = np.abs(mine.astype(np.float64) - theirs)
        apart[np.isnan(mine) & np.isnan(theirs)] = 0.0
        found[name] = float(np.nan_to_num(apart, nan=np.inf).max())
    return found


def table_of_deviations() -> str:
    """Every feature, likelihood and metric of all cases: the table of docs/realism.md."""
    worst: dict[str, tuple[float, str, int, int]] = {}

    def note(name: str, where: str, mine: NDArray, theirs: NDArray) -> None:
        apart = np.abs(np.asarray(mine, np.float64) - theirs)
        apart[np.isnan(apart)] = 0.0
        before = worst.get(name, (-1.0, "", 0, 0))
        number, total = before[2] + int((apart > 0).sum()), before[3] + apart.size
        worst[name] = (*max(before[:2], (float(apart.max()), where)), number, total)

    for id in SCENE_IDS:
        with np.load(FOLDER / id / "log_features.npz") as official:
            for name in Features.__dataclass_fields__:
                if name != "displacement_error":
                    theirs = official[OFFICIAL_NAME.get(name, name)]
                    note(name, f"{id}, log", getattr(realism(id).log_features, name), theirs)
    for case in CASES:
        ours = realism(case.scene_id).features(case.rollouts, case.ids, frame="source")
        for name in Features.__dataclass_fields__:
            theirs = case.features[OFFICIAL_NAME.get(name, name)]
            note(name, str(case), getattr(ours, name), theirs[: len(case.rollouts)])
        for config in METRICS_OF:
            official_values = case.metrics(config)
            if official_values is None:
                continue
            found = realism(case.scene_id, config).score(case.all_rollouts, case.ids, frame="source").as_dict()
            for name, value in official_values.items():
                kind = "likelihoods" if name.endswith("_likelihood") else "rates" if name.endswith("_rate") else name
                if name in found:
                    note(kind, f"{case}, {config}", np.array([found[name]]), np.array([value]))
    rows = [
        f"| {name} | {apart:.1e} | {where if apart else ''} | {number:,} of {total:,} |"
        for name, (apart, where, number, total) in worst.items()
    ]
    return "\n".join(["| what | worst | where | not bit-equal |", "|---|---|---|---|", *rows, ""])


if __name__ == "__main__":  # python -m tests.metrics.wosac.golden
    sys.stdout.write(table_of_deviations())
