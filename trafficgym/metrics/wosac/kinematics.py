"""Speeds and accelerations by central differences (WOSAC.md section 3), float32 like the official code."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.world.state import DT

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

_DT, _DT_SQUARED = np.float32(DT), np.float32(DT**2)
_HALF, _TWO = np.float32(0.5), np.float32(2.0)
_PI, _TWO_PI = np.float32(np.pi), np.float32(2.0 * np.pi)


def kinematics(x: Float, y: Float, z: Float, yaw: Float) -> tuple[Float, Float, Float, Float]:
    """Linear and angular speed and acceleration of trajectories.

    Args:
        x: Box centres, float32 ``[..., T]`` m; y, z alike.
        yaw: Headings, float32 ``[..., T]`` rad, wrapped or not.

    Returns:
        linear speed [m/s], linear acceleration [m/s^2], angular speed [rad/s], angular acceleration [rad/s^2], float32
        ``[..., T]`` each; NaN where a neighbouring step is missing: speeds at both ends, accelerations at two steps of
        either end.
    """
    shape = x.shape
    rows = [np.ascontiguousarray(a, np.float32).reshape(-1, shape[-1]) for a in (x, y, z, yaw)]
    out = np.empty((4, *rows[0].shape), np.float32)
    _kinematics(*rows, out)
    speed, acceleration, turn, turn_rate = out.reshape(4, *shape)
    return speed, acceleration, turn, turn_rate


def speed_in_plane(x: Float, y: Float) -> Float:
    """Speed in x and y by central differences, float32 ``[..., T]`` m/s; NaN at both ends."""
    out = np.full(x.shape, np.nan, np.float32)
    dx, dy = (x[..., 2:] - x[..., :-2]) * _HALF, (y[..., 2:] - y[..., :-2]) * _HALF
    out[..., 1:-1] = np.sqrt(dx * dx + dy * dy) / _DT
    return out


def central_validity(valid: Bool) -> Bool:
    """Whether both neighbours of a step are valid, bool ``[..., T]``; False at both ends."""
    out = np.zeros_like(valid)
    out[..., 1:-1] = valid[..., 2:] & valid[..., :-2]
    return out


@njit(cache=True, error_model="numpy")
def _kinematics(x, y, z, yaw, out):
    num, steps = x.shape
    for i in range(num):
        for k in range(4):
            out[k, i] = np.nan
        for t in range(1, steps - 1):
            dx = (x[i, t + 1] - x[i, t - 1]) * _HALF
            dy = (y[i, t + 1] - y[i, t - 1]) * _HALF
            dz = (z[i, t + 1] - z[i, t - 1]) * _HALF
            out[0, i, t] = np.sqrt(dx * dx + dy * dy + dz * dz) / _DT
            out[2, i, t] = _wrapped_half((yaw[i, t + 1] - yaw[i, t - 1]) * _HALF)  # rad a step until below
        for t in range(2, steps - 2):
            out[1, i, t] = (out[0, i, t + 1] - out[0, i, t - 1]) * _HALF / _DT
            out[3, i, t] = _wrapped_half((out[2, i, t + 1] - out[2, i, t - 1]) * _HALF) / _DT_SQUARED
        for t in range(1, steps - 1):
            out[2, i, t] /= _DT


@njit(cache=True, error_model="numpy", inline="always")
def _wrapped_half(half):
    """Half of the wrapped double: the official code wraps the difference over two steps."""
    return ((half * _TWO + _PI) % _TWO_PI - _PI) * _HALF
