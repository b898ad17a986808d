"""Goals from rollouts and logs, for policies that learn to go where they are told (RLFTSim, METHODS.md D.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.metrics.goals import logged_goals
from trafficgym_agents.policies.smart.simulation import goals_of_tracks

Float = NDArray[np.floating]


def hindsight_goals(rollouts: Float, scores: Float) -> NDArray[np.float32]:
    """Where everybody ends in the best rollout of a scene: goals that can be reached, and that lie off the log.

    The paper makes goals of the rollout of the highest single-rollout realism. Agents that roll out anew under these
    goals are on policy, and need no ratio between what was intended and what is learned.

    Args:
        rollouts: x and y first, ``[R, A, T, 2 or more]`` m.
        scores: Of the rollouts, ``[R]``; NaN is no score.

    Returns:
        float32 ``[A, 2]`` m.

    Raises:
        ConfigError: there is not one score for each rollout, or none that is a number.
    """
    if rollouts.ndim != 4 or np.shape(scores) != (len(rollouts),) or np.isnan(scores).all():
        raise ConfigError(
            f"rollouts have shape {rollouts.shape} and scores are {scores!r}; give (R, A, T, 2 or more), and R scores"
        )
    return rollouts[np.nanargmax(scores), :, -1, :2].astype(np.float32)


__all__ = ["goals_of_tracks", "hindsight_goals", "logged_goals"]
