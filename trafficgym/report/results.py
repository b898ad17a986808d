"""The evaluation as JSON: everything that the page shows and every scene's own values.

Layout of `results.json` (format 1): `config`, `source`, `environment` (version, machine, wall time),
`summary` and `differences` (one entry per policy: sizes, and per metric value, low, high, or null),
`histograms` (per policy and feature: edges, simulated and logged counts), `scenes` (per scene and policy:
value per metric or null, and the extremes of its encounters), `skipped` (scene and reason).
Shares are fractions, times s, lengths m.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trafficgym.metrics.distribution import FEATURES, FeatureBins
from trafficgym.metrics.summary import METRICS, Row, SceneMeasures, by_policy, pooled_histogram
from trafficgym.report.evaluation import Evaluation, Outcome

FORMAT = 1


def to_json(evaluation: Evaluation) -> str:
    """The text of `results.json`; the same evaluation gives the same text but for `environment`."""
    return json.dumps(to_dict(evaluation), indent=1, allow_nan=False) + "\n"


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """The same as plain Python values."""
    return {
        "format": FORMAT,
        "source": evaluation.source.name,
        "config": asdict(evaluation.config) | {"max_scenes": evaluation.source.max_scenes},
        "environment": environment(evaluation.workers, evaluation.wall_time_s),
        "summary": [_row(row) for row in evaluation.rows],
        "differences": {
            "reference": evaluation.config.reference,
            "rows": [_row(row) for row in evaluation.differences],
        },
        "histograms": _histograms(evaluation),
        "scenes": [_scene(outcome) for outcome in evaluation.outcomes if outcome.measures],
        "skipped": [{"scene": outcome.scene_id, "reason": outcome.problem} for outcome in evaluation.skipped],
    }


def environment(workers: int, wall_time_s: float) -> dict[str, Any]:
    """What numbers were made with and how long it took."""
    return {
        "trafficgym": _version(),
        "python": platform.python_version(),
        "machine": machine(),
        "workers": workers,
        "wall_time_s": round(wall_time_s, 2),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def machine() -> str:
    """Processor and number of cores, as far as the system says."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def _version() -> str:
    try:
        return version("trafficgym")
    except PackageNotFoundError:
        return "not installed"


def _row(row: Row) -> dict[str, Any]:
    values = {key: None if found is None else asdict(found) for key, found in row.values.items()}
    return {
        "policy": row.policy,
        "num_scenes": row.num_scenes,
        "num_rollouts": row.num_rollouts,
        "num_agents": row.num_agents,
        "metrics": values,
    }


def _histograms(evaluation: Evaluation) -> dict[str, Any]:
    bins = FeatureBins()
    return {
        policy: {name: _histogram(scenes, name, bins) for name in FEATURES}
        for policy, scenes in by_policy(evaluation.measures).items()
    }


def _histogram(scenes: list[SceneMeasures], feature: str, bins: FeatureBins) -> dict[str, Any]:
    simulated, logged = pooled_histogram(scenes, feature)
    return {"edges": bins.of(feature).edges.tolist(), "simulated": simulated.tolist(), "logged": logged.tolist()}


def _scene(outcome: Outcome) -> dict[str, Any]:
    policies = {
        one.policy: {
            "num_agents": one.num_agents,
            "num_rollouts": one.num_rollouts,
            "metrics": {metric.key: one.value(metric.key) for metric in METRICS},
            "extremes": one.extremes,
        }
        for one in outcome.measures
    }
    return {"scene": outcome.scene_id, "index": outcome.index, "policies": policies}
