"""What can be wrong with the rollouts of one scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from trafficgym.metrics.wosac.submission.messages import NUM_ROLLOUTS, NUM_STEPS, JointScene, ScenarioRollouts
from trafficgym.metrics.wosac.submission.problems import some
from trafficgym.metrics.wosac.submission.simulated import CURRENT_STEP, Ids


def scenario_problems(scenario: ScenarioRollouts, expected: Ids | None) -> list[tuple[str, str]]:
    """What is wrong with the joint scenes of one scenario, as pairs of reason and text.

    Args:
        expected: Ids of the objects that must be simulated; None takes those of the first joint scene.
    """
    found: list[tuple[str, str]] = []
    num = len(scenario.joint_scenes)
    if num != NUM_ROLLOUTS:
        found.append(("num_rollouts", f"has {num} rollouts (joint scenes); it must have exactly {NUM_ROLLOUTS}"))
    if expected is None and num:
        first = np.unique(scenario.joint_scenes[0].object_id)
        checks = {**_FORM_CHECKS, "agents_differ": lambda one: np.setxor1d(one.object_id, first)}
    elif expected is not None:
        checks = _FORM_CHECKS | {
            "unknown_agents": lambda one: np.setdiff1d(one.object_id, expected),
            "missing_agents": lambda one: np.setdiff1d(expected, one.object_id),
        }
    else:
        return found
    for reason, check in checks.items():
        wrong = [(number, ids) for number, one in enumerate(scenario.joint_scenes) if len(ids := check(one))]
        if wrong:
            found.append((reason, f"{_WORDS[reason]}: {_where(wrong, num)}"))
    return found


def _where(wrong: Sequence[tuple[int, Iterable[int]]], num: int) -> str:
    number, ids = wrong[0]
    return f"{some(ids)} in rollout {number}; {len(wrong)} of {num} rollouts are affected"


_WORDS = {
    "unequal_fields": "center_x, center_y, center_z and heading differ in length for agents",
    "num_steps": f"not exactly {NUM_STEPS} steps for agents",
    "not_finite": "numbers that are not finite for agents",
    "repeated_agents": "agents that are there more than once",
    "unknown_agents": f"agents that are not to be simulated (not valid at step {CURRENT_STEP}, or no such id)",
    "missing_agents": f"agents missing (valid at step {CURRENT_STEP}, and must be simulated)",
    "agents_differ": "agents that are not in every rollout",
}


def _unequal_fields(one: JointScene) -> Ids:
    return one.object_id[(one.lengths != one.lengths[:, :1]).any(1)]


def _wrong_num_steps(one: JointScene) -> Ids:
    return one.object_id[(one.lengths == one.lengths[:, :1]).all(1) & (one.lengths[:, 0] != NUM_STEPS)]


def _not_finite(one: JointScene) -> Ids:
    bad = np.flatnonzero(~np.isfinite(one.values))
    rows = np.searchsorted(np.cumsum(one.lengths.sum(1)), bad, side="right")
    return one.object_id[np.unique(rows)]


def _repeated(one: JointScene) -> Ids:
    ids, counts = np.unique(one.object_id, return_counts=True)
    return ids[counts > 1]


_FORM_CHECKS: dict[str, Callable[[JointScene], Ids]] = {
    "unequal_fields": _unequal_fields,
    "num_steps": _wrong_num_steps,
    "not_finite": _not_finite,
    "repeated_agents": _repeated,
}
