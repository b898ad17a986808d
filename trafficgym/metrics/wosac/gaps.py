"""Every simulated object must be somewhere at every step, also those that the log, or a run, loses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.world.state import DT


def fill_gaps(motion: NDArray[np.floating], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Where an object is absent, let it go on from its last state at constant velocity, height and heading.

    Args:
        motion: (x, y, z, yaw, vx, vy) at steps of 0.1 s, ``[..., T, 6]``, m, rad, m/s; any frame.
        present: Which states hold, bool ``[..., T]``; the first step of every object must.

    Returns:
        (x, y, z, yaw), float64 ``[..., T, 4]``; states that hold are unchanged.

    Raises:
        ConfigError: shapes do not fit, or an object is absent at its first step.
    """
    if motion.shape[-1:] != (6,) or motion.shape[:-1] != present.shape:
        raise ConfigError(f"motion must be [..., T, 6] and present [..., T], got {motion.shape} and {present.shape}")
    if not present[..., 0].all():
        where = np.argwhere(~present[..., 0])[0].tolist()
        raise ConfigError(f"object {where} is absent at its first step, so that there is nothing to go on from")
    step = np.arange(present.shape[-1])
    last = np.maximum.accumulate(np.where(present, step, 0), -1)
    held = np.take_along_axis(motion.astype(np.float64), last[..., None], -2)
    out = held[..., :4].copy()
    out[..., :2] += held[..., 4:] * (DT * (step - last))[..., None]
    return out
