"""Where everything was at each step of the present episodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trafficgym.world.state import PRESENT, State

Bool = NDArray[np.bool_]
Float = NDArray[np.float32]

NUM_COLUMNS = 6
"""The first columns of `State.table`: x, y, z, yaw, vx, vy."""


class History:
    """The states of all slots at each 0.1 s step of an episode, kept by a world with ``keep_history``.

    Column 0 is the start of the episode and column k the state k steps later, as long as the longest horizon so far.
    Columns that a world has not yet reached hold 0. Arrays are written in place: copy what you keep.

    Attributes:
        motion: x, y, z [m], yaw [rad], vx, vy [m/s] in the scene frame, float32 ``[B, N, T+1, 6]``.
        present: Whether the object stands on the road, bool ``[B, N, T+1]``; where it does not, `motion` holds where it
            last was or will first be.
        start_step: Scene step of column 0, int32 ``[B]``.
        advanced: Worlds that moved in the last decision, bool ``[B]``.
        num_recorded: How often anything was recorded; it tells one decision from the next.
    """

    def __init__(self, num_worlds: int) -> None:
        self.motion: Float = np.zeros((num_worlds, 0, 0, NUM_COLUMNS), np.float32)
        self.present: Bool = np.zeros((num_worlds, 0, 0), bool)
        self.start_step = np.zeros(num_worlds, np.int32)
        self.advanced: Bool = np.zeros(num_worlds, bool)
        self.num_recorded = 0

    def begin(self, worlds: Bool, state: State, step_index: NDArray[np.int32], end_step: NDArray[np.int32]) -> None:
        """Start the episodes of some worlds: forget what they held and record column 0.

        Args:
            worlds: Which ones, bool ``[B]``.
            state: All worlds' states at the start.
            step_index: Scene step of each world now, int32 ``[B]``.
            end_step: Scene step at which each is truncated, int32 ``[B]``.
        """
        self.start_step[worlds] = step_index[worlds]
        self._grow(state.table.shape[1], int((end_step - self.start_step).max()) + 1)
        self.motion[worlds], self.present[worlds] = 0, False
        self.advanced[worlds] = False
        self._write(worlds, state, step_index)

    def record(self, worlds: Bool, state: State, step_index: NDArray[np.int32]) -> None:
        """Keep the states of some worlds at the step where they are; steps past the longest horizon are not kept."""
        self.num_recorded += 1
        self.advanced[:] = worlds
        self._write(worlds, state, step_index)

    def _write(self, worlds: Bool, state: State, step_index: NDArray[np.int32]) -> None:
        column = step_index - self.start_step
        rows = np.flatnonzero(worlds & (column < self.present.shape[2]))
        table = state.table[rows]
        self.motion[rows, :, column[rows]] = table[..., :NUM_COLUMNS]
        self.present[rows, :, column[rows]] = table[..., PRESENT] != 0

    def _grow(self, num_slots: int, num_states: int) -> None:
        num_worlds, old_slots, old_states = self.present.shape
        if num_slots <= old_slots and num_states <= old_states:
            return
        shape = (num_worlds, max(num_slots, old_slots), max(num_states, old_states))
        motion, present = np.zeros((*shape, NUM_COLUMNS), np.float32), np.zeros(shape, bool)
        motion[:, :old_slots, :old_states] = self.motion
        present[:, :old_slots, :old_states] = self.present
        self.motion, self.present = motion, present
