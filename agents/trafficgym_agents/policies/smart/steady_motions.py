"""Motions that nobody needs to have driven: constant speed and turn rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trafficgym_agents.policies.smart.config import STEPS_PER_TOKEN

Float = NDArray[np.float64]

TOP_SPEED = (35.0, 3.0, 12.0)
"""m/s, of vehicles, pedestrians and cyclists."""
LATERAL = 4.0
"""m/s^2, more than ordinary driving has."""
FASTEST_TURN = 1.0
"""rad/s."""
NUM_SPEEDS, NUM_RATES = 241, 41
DT = 0.1


def steady_motions(code: int) -> Float:
    """Snippets of a class (0 vehicle, 1 pedestrian, 2 cyclist) at every speed and turn rate that is ordinary.

    They are dense enough to fill TrajTok's grids.

    Returns:
        Poses ``[N, 6, 3]`` m and rad in the frame of the first, forwards only.
    """
    speed = np.linspace(0, TOP_SPEED[code], NUM_SPEEDS)[:, None]
    most = np.minimum(FASTEST_TURN, LATERAL / np.maximum(speed, 1e-9))
    rate = most * np.linspace(-1, 1, NUM_RATES)
    yaw = rate.reshape(-1, 1) * DT * np.arange(STEPS_PER_TOKEN + 1)
    arc = np.repeat(speed, NUM_RATES, 0) * DT * np.arange(STEPS_PER_TOKEN + 1)
    chord = arc * np.sinc(yaw / (2 * np.pi))
    return np.stack([chord * np.cos(yaw / 2), chord * np.sin(yaw / 2), yaw], -1)
