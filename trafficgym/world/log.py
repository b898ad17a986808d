"""The recorded log, laid out as states, so that replaying a step of a track copies one cache line."""

from __future__ import annotations

import numpy as np
from numba import njit

from trafficgym.scene.scene import Tracks
from trafficgym.world.geometry import wrap_angle
from trafficgym.world.pointers import floats
from trafficgym.world.state import (
    ACCELERATION,
    COS,
    DT,
    HEIGHT,
    KIND,
    LENGTH,
    PRESENT,
    SIN,
    SPEED,
    VX,
    VY,
    WIDTH,
    YAW,
    YAW_RATE,
    X,
    Y,
    Z,
)

LOG_TABLE, LOG_STEPS, LOG_TRACKS = range(3)
LOG_ROW_SIZE = 3


class LogTable:
    """The tracks of one scene by step.

    Attributes:
        table: float32 ``[T, A, 16]``, the columns of `State.table`.
        row: Its address and shape for kernels, int64 ``[3]``; good as long as this object lives.
    """

    def __init__(self, tracks: Tracks) -> None:
        cos, sin = np.cos(tracks.yaw), np.sin(tracks.yaw)
        speed = tracks.vx * cos + tracks.vy * sin
        both = tracks.valid[:, 1:] & tracks.valid[:, :-1]
        rate = np.zeros((2, *speed.shape), np.float32)
        rate[0, :, 1:] = np.diff(speed)
        rate[1, :, 1:] = (np.diff(tracks.yaw) + np.pi) % (2 * np.pi) - np.pi
        rate[:, :, 1:] *= both / np.float32(DT)
        columns = {
            X: tracks.x,
            Y: tracks.y,
            Z: tracks.z,
            YAW: tracks.yaw,
            VX: tracks.vx,
            VY: tracks.vy,
            SPEED: speed,
            ACCELERATION: rate[0],
            YAW_RATE: rate[1],
            COS: cos,
            SIN: sin,
            LENGTH: tracks.length,
            WIDTH: tracks.width,
            HEIGHT: tracks.height,
            PRESENT: tracks.valid,
            KIND: np.broadcast_to(tracks.type[:, None], speed.shape),
        }
        self.table = np.empty((tracks.num_steps, tracks.num_agents, 16), np.float32)
        for column, values in columns.items():
            self.table[:, :, column] = values.T
        self.row = self._address()

    def __setstate__(self, state: dict[str, np.ndarray]) -> None:
        vars(self).update(state)
        self.row = self._address()  # that of the copy

    def _address(self) -> np.ndarray:
        return np.array([self.table.ctypes.data, *self.table.shape[:2]], np.int64)


@njit(cache=True, inline="always")
def is_logged(row, track, step):
    """Whether the log holds a valid state of `track` at `step`."""
    if track < 0 or step < 0 or step >= row[LOG_STEPS]:
        return False
    return floats(row[LOG_TABLE], (row[LOG_STEPS], row[LOG_TRACKS], 16))[step, track, PRESENT] != 0


@njit(cache=True, error_model="numpy", inline="always")
def replay(slot, row, track, step):
    """Put a slot (float32 ``[16]``) where its log has it at `step`, bit for bit, or take it off the road."""
    if is_logged(row, track, step):
        table = floats(row[LOG_TABLE], (row[LOG_STEPS], row[LOG_TRACKS], 16))
        for k in range(16):
            slot[k] = table[step, track, k]
    else:
        slot[PRESENT] = 0


@njit(cache=True, error_model="numpy", inline="always")
def measure(slot, before):
    """Derive acceleration, yaw rate and the direction of a slot that has just moved from `before`."""
    slot[ACCELERATION] = (slot[SPEED] - before[SPEED]) / np.float32(DT)
    slot[YAW_RATE] = wrap_angle(slot[YAW] - before[YAW]) / np.float32(DT)
    slot[COS], slot[SIN] = np.cos(slot[YAW]), np.sin(slot[YAW])


@njit(cache=True)
def gather(column, rows, track, step_index, out):
    """Fill `out`, float32 ``[B, N]``, with one logged column at each world's step; 0 where nothing is logged."""
    for b in range(track.shape[0]):
        for n in range(track.shape[1]):
            out[b, n] = 0
            if is_logged(rows[b], track[b, n], step_index[b]):
                shape = (rows[b, LOG_STEPS], rows[b, LOG_TRACKS], 16)
                out[b, n] = floats(rows[b, LOG_TABLE], shape)[step_index[b], track[b, n], column]
    return out
