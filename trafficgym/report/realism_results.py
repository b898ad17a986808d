"""Realism as JSON: everything that the page shows and every scene's own values.

Layout of `results.json` (format 1): `command`, `source`, `config` (with every feature's weight and bins), `environment`
(version, machine, wall time), `summary` (one entry per policy: the mean score with its `oracle`, the interval of the
meta-metric, and that of its difference to the oracle), `oracle`, `missing` (feature and number of scenes), `histograms`
(by feature: edges, and counts of the log and of each policy), `scenes` (scores by policy, down to each evaluated
agent), `skipped` (scene, reason, and whose fault it is), `unknown` (recorded scenes that the source does not hold).
Scores have the names of the official protos. Rates are fractions, distances m; null stands for what is undefined.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from trafficgym.report.realism import RealismEvaluation, RealismRow
from trafficgym.report.realism_pooled import Pooled
from trafficgym.report.results import environment

FORMAT = 1


def to_json(evaluation: RealismEvaluation, command: Sequence[str] = ()) -> str:
    """The text of `results.json`; the same evaluation gives the same text but for `environment`."""
    return json.dumps(finite(to_dict(evaluation, command)), indent=1, allow_nan=False) + "\n"


def to_dict(evaluation: RealismEvaluation, command: Sequence[str] = ()) -> dict[str, Any]:
    """The same as plain Python values.

    Args:
        command: The words of the command line that made it.
    """
    config = evaluation.config
    return {
        "format": FORMAT,
        "command": list(command),
        "source": evaluation.source.name,
        "config": {
            "wosac": config.config.name,
            "features": {name: asdict(feature) for name, feature in config.config.features.items()},
            "policies": list(config.policies),
            "rollouts": None if config.rollouts is None else str(config.rollouts),
            "rollouts_per_scene": config.rollouts_per_scene,
            "seed": config.seed,
            "max_scenes": evaluation.source.max_scenes,
            "bootstrap": asdict(config.bootstrap),
        },
        "environment": environment(evaluation.workers, evaluation.wall_time_s),
        "summary": [_row(row) for row in evaluation.rows],
        "oracle": _row(evaluation.oracle),
        "missing": evaluation.missing,
        "histograms": _histograms(evaluation),
        "scenes": [
            {"scene": outcome.scene_id, "policies": {one.policy: one.details for one in outcome.policies}}
            for outcome in evaluation.scored
        ],
        "skipped": [
            {
                "scene": outcome.scene_id,
                "reason": outcome.problem,
                "fault": "rollouts" if outcome.is_fault_of_rollouts else "scene",
            }
            for outcome in evaluation.skipped
        ],
        "unknown": list(evaluation.unknown),
    }


def finite(value: Any) -> Any:
    """The same with null for every number that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list | tuple) else value


def _row(row: RealismRow) -> dict[str, Any]:
    return {
        "policy": row.policy,
        "score": row.score.as_dict(),
        "interval": None if row.interval is None else asdict(row.interval),
        "difference_to_oracle": None if row.difference is None else asdict(row.difference),
    }


def _histograms(evaluation: RealismEvaluation) -> dict[str, Any]:
    pooled = Pooled.of(evaluation)
    features = evaluation.config.config.features
    return {
        name: {
            "edges": features[name].edges.tolist(),
            "logged": logged.tolist(),
            "simulated": {policy: pooled.simulated[policy][name].tolist() for policy in pooled.simulated},
        }
        for name, logged in pooled.logged.items()
    }
