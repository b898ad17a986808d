"""What counts: collisions, leaving the road, wrong way, red lights, goals, infeasible motion.

docs/what-counts.md has the same definitions with pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.scene import AgentType, SignalState
from trafficgym.world.geometry import cross, separation
from trafficgym.world.pointers import bytes_, floats
from trafficgym.world.road_index import (
    LANES,
    LEVEL_M,
    NUM_EDGES,
    NUM_LANES,
    NUM_SIGNALS,
    NUM_STEPS,
    SIGNAL_STATE,
    SIGNALS,
    SPEED_LIMIT,
    STOP_COS,
    STOP_SIN,
    STOP_X,
    STOP_Y,
    STOP_Z,
)
from trafficgym.world.road_queries import edge_distance, is_corner_off, lanes_at
from trafficgym.world.state import (
    ACCELERATION,
    COS,
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


class Event(IntFlag):
    """Bits of `Events.state` and `Events.onset`."""

    COLLISION = 1
    """The box overlaps another one (scale 1.0, same level of the road)."""
    OFF_ROAD = 2
    """A corner of the box is beyond the nearest road edge. Further than 30 m from every edge nobody knows, and the
    last verdict holds, since maps are cropped and roads go on."""
    WRONG_WAY = 4
    """It moves, and of the lanes within 2 m only such as run against it."""
    RED_LIGHT = 8
    """The front bumper crossed a stop point whose signal shows red; holds for that one step."""
    GOAL = 16
    """The centre has come within the goal radius of where the log ends; holds from then on."""
    INFEASIBLE = 32
    """The last step needed more acceleration, curvature or side-slip than a vehicle has."""


class EventLimits(NamedTuple):
    """Thresholds of the definitions above."""

    goal_radius: float = 2.0  # m
    lane_reach: float = 2.0  # m
    moving_speed: float = 0.5  # m/s, slower than this nobody drives the wrong way
    stop_line_half_width: float = 2.0  # m
    acceleration: float = 10.0  # m/s^2, either sign
    curvature: float = 0.3  # 1/m
    slip_speed: float = 2.0  # m/s across the own axis
    fault_speed: float = 0.1  # m/s of approach below which nobody is at fault


@dataclass(kw_only=True, eq=False)
class Events:
    """What held and what began during the last decision, ``[B, N]`` each (B worlds, N slots)."""

    state: NDArray[np.uint8]  # Event bits that held at any step of the decision
    onset: NDArray[np.uint8]  # Event bits that began at any step of the decision
    collision_with: NDArray[np.int32]  # slot, -1 for none
    at_fault: NDArray[np.bool_]  # of that collision

    @classmethod
    def none(cls, num_worlds: int, num_slots: int) -> Events:
        """Nothing has happened."""
        shape = (num_worlds, num_slots)
        return cls(
            state=np.zeros(shape, np.uint8),
            onset=np.zeros(shape, np.uint8),
            collision_with=np.full(shape, -1, np.int32),
            at_fault=np.zeros(shape, bool),
        )

    def holds(self, event: Event) -> NDArray[np.bool_]:
        """Whether any bit of `event` held, bool ``[B, N]``."""
        return (self.state & np.uint8(event)) != 0

    def began(self, event: Event) -> NDArray[np.bool_]:
        """Whether any bit of `event` began, bool ``[B, N]``."""
        return (self.onset & np.uint8(event)) != 0


class Watch(NamedTuple):
    """What detection remembers from step to step (B worlds, N slots)."""

    watched: NDArray[np.bool_]  # (B, N) events are kept for this slot
    held: NDArray[np.uint8]  # (B, N) bits at the last step
    lane: NDArray[np.float32]  # (B, N, 4) see the columns below
    goal: NDArray[np.float32]  # (B, N, 3) x, y [m], and 1 where there is a goal

    @classmethod
    def zeros(cls, num_worlds: int, num_slots: int) -> Watch:
        """Nothing watched yet."""
        shape = (num_worlds, num_slots)
        return cls(
            watched=np.zeros(shape, bool),
            held=np.zeros(shape, np.uint8),
            lane=np.zeros((*shape, 4), np.float32),
            goal=np.zeros((*shape, 3), np.float32),
        )


# Columns of `Watch.lane`: whether there is a lane under the slot, its height [m], how much that rose in the
# last step [m], and its speed limit [m/s], 0 unknown.
ON_LANE, ROAD_HEIGHT, RISE, LIMIT = range(4)

_COLLISION, _OFF_ROAD, _WRONG_WAY, _RED_LIGHT, _GOAL, _INFEASIBLE = (np.uint8(e) for e in Event)
_VEHICLE, _CYCLIST = int(AgentType.VEHICLE), int(AgentType.CYCLIST)
_STOP, _ARROW_STOP = int(SignalState.STOP), int(SignalState.ARROW_STOP)


# Helpers take rows of one world or of one slot, never the tuples: numba would copy those at each call.


@njit(cache=True, error_model="numpy")
def detect(table, before, step_index, running, rows, watch, limits, out_state, out_onset, out_with, out_fault, fresh):
    """Find every event of the last 0.1 s in all running worlds and add it to the decision's.

    Args:
        table: `State.table` now, ``[B, N, 16]``.
        before: `State.table` 0.1 s earlier.
        step_index: Scene step now, int32 ``[B]``.
        running: Worlds to look at, bool ``[B]``.
        rows: `RoadIndex.row` of each world, int64 ``[B, ROW_SIZE]``.
        watch: `Watch`, as a plain tuple; updated. (Numba is slower to take a named one.)
        limits: `EventLimits`, likewise.
        out_state: and out_onset, out_with, out_fault: fields of `Events`, added to, or begun anew where `fresh`.
    """
    watch, limits = Watch(*watch), EventLimits(*limits)
    num_worlds, num_slots = table.shape[0], table.shape[1]
    bits = np.zeros(num_slots, np.uint8)
    deepest = np.zeros(num_slots, np.float32)
    scratch, here = np.empty((3, num_slots), np.float32), np.empty(num_slots, np.int32)
    for b in range(num_worlds):
        if not running[b]:
            continue
        bits[:] = 0
        deepest[:] = 0
        held = watch.held[b]
        if fresh:
            for n in range(num_slots):
                out_state[b, n] = out_onset[b, n] = 0
        fault = limits.fault_speed
        _collisions(table[b], watch.watched[b], held, fault, scratch, here, bits, deepest, out_with[b], out_fault[b])
        for n in range(num_slots):
            slot = table[b, n]
            if watch.watched[b, n] and slot[PRESENT] != 0:
                kind = slot[KIND]
                if kind == _VEHICLE or kind == _CYCLIST:
                    bits[n] |= _road_bits(slot, before[b, n], rows[b], held[n], watch.lane[b, n], limits)
                    if rows[b, NUM_SIGNALS] > 0:
                        bits[n] |= _red_light(slot, before[b, n], step_index[b], rows[b], limits)
                goal = watch.goal[b, n]
                if goal[2] != 0:
                    dx, dy = slot[X] - goal[0], slot[Y] - goal[1]
                    if dx * dx + dy * dy <= limits.goal_radius * limits.goal_radius or held[n] & _GOAL:
                        bits[n] |= _GOAL
            out_state[b, n] |= bits[n]
            if not out_state[b, n] & _COLLISION:
                out_with[b, n], out_fault[b, n] = -1, False
            out_onset[b, n] |= bits[n] & ~held[n]
            held[n] = bits[n]


@njit(cache=True, error_model="numpy")
def _collisions(table, watched, held, fault_speed, scratch, here, bits, deepest, out_with, out_fault):
    """Box overlaps of one world, ``[N]`` arrays; who is to blame is settled when a collision begins.

    Args:
        scratch: float32 ``[3, N]`` and `here` int32 ``[N]``, for what is on the road, side by side: where it is
            and how far it reaches at most.
    """
    num = 0
    for n in range(len(table)):
        if table[n, PRESENT] != 0:
            here[num] = n
            scratch[0, num], scratch[1, num] = table[n, X], table[n, Y]
            length, width = table[n, LENGTH], table[n, WIDTH]
            scratch[2, num] = np.float32(0.5) * np.sqrt(length * length + width * width)
            num += 1
    for p in range(num):
        i = here[p]
        if not watched[i]:
            continue
        x, y, reach = scratch[0, p], scratch[1, p], scratch[2, p]
        near = 0
        for q in range(num):
            dx, dy, r = scratch[0, q] - x, scratch[1, q] - y, scratch[2, q] + reach
            near += dx * dx + dy * dy < r * r
        if near < 2:  # nothing but itself
            continue
        for q in range(num):
            dx, dy, r = scratch[0, q] - x, scratch[1, q] - y, scratch[2, q] + reach
            if dx * dx + dy * dy < r * r and q != p and (q > p or not watched[here[q]]):
                _collide(i, here[q], table, watched, held, fault_speed, bits, deepest, out_with, out_fault)


@njit(cache=True, error_model="numpy")
def _collide(i, j, table, watched, held, fault_speed, bits, deepest, out_with, out_fault):
    """Mark slots i and j of one world if their boxes overlap."""
    half = np.float32(0.5)
    a, o = table[i], table[j]
    if abs(o[Z] - a[Z]) > max(half * (a[HEIGHT] + o[HEIGHT]), np.float32(1.0)):
        return
    gap, nx, ny = separation(
        o[X] - a[X],
        o[Y] - a[Y],
        a[COS],
        a[SIN],
        half * a[LENGTH],
        half * a[WIDTH],
        o[COS],
        o[SIN],
        half * o[LENGTH],
        half * o[WIDTH],
    )
    if gap >= 0:
        return
    closing_a, closing_o = a[VX] * nx + a[VY] * ny, -(o[VX] * nx + o[VY] * ny)
    for n, other, own, its in ((i, j, closing_a, closing_o), (j, i, closing_o, closing_a)):
        if watched[n]:
            bits[n] |= _COLLISION
            if not held[n] & _COLLISION and gap < deepest[n]:
                deepest[n] = gap
                out_with[n] = other
                out_fault[n] = own > fault_speed and own >= its - np.float32(1e-3)


@njit(cache=True, error_model="numpy")
def _road_bits(slot, before, row, held, lane, limits):
    """Off-road, wrong way and infeasible of one slot; updates its `Watch.lane`."""
    x, y, cos, sin, speed = slot[X], slot[Y], slot[COS], slot[SIN], slot[SPEED]
    half_length, half_width = np.float32(0.5) * slot[LENGTH], np.float32(0.5) * slot[WIDTH]
    bottom = slot[Z] - np.float32(0.5) * slot[HEIGHT]
    bits = np.uint8(0)
    lane[RISE] = 0
    if before[PRESENT] != 0 and x == before[X] and y == before[Y] and slot[YAW] == before[YAW]:
        return held & _OFF_ROAD
    if row[NUM_LANES] > 0:
        segment, along, floor = lanes_at(x, y, bottom, cos, sin, np.float32(limits.lane_reach), row)
        if segment >= 0:
            if lane[ON_LANE] != 0 and before[PRESENT] != 0:
                lane[RISE] = floor - lane[ROAD_HEIGHT]
            lanes = floats(row[LANES], (row[NUM_LANES], 8))
            lane[ON_LANE], lane[ROAD_HEIGHT], lane[LIMIT] = 1, floor, lanes[segment, SPEED_LIMIT]
            if not along and speed > limits.moving_speed:
                bits |= _WRONG_WAY
        else:
            lane[ON_LANE], lane[LIMIT] = 0, 0
    if row[NUM_EDGES] > 0:
        distance, far = edge_distance(x, y, bottom, row)
        circle = np.sqrt(half_length * half_length + half_width * half_width)
        if np.isnan(distance):
            bits |= held & _OFF_ROAD
        elif distance > 0:
            bits |= _OFF_ROAD
        elif distance > -circle:
            if is_corner_off(x, y, bottom, cos, sin, half_length, half_width, far + 2 * circle, row):
                bits |= _OFF_ROAD
    if before[PRESENT] != 0 and _is_infeasible(slot, limits):
        bits |= _INFEASIBLE
    return bits


@njit(cache=True, error_model="numpy")
def _is_infeasible(slot, limits):
    """Whether the last step of one slot asked for more than a vehicle can do."""
    slip = abs(slot[VY] * slot[COS] - slot[VX] * slot[SIN])
    turn = limits.curvature * abs(slot[SPEED]) + np.float32(0.3)
    return abs(slot[ACCELERATION]) > limits.acceleration or abs(slot[YAW_RATE]) > turn or slip > limits.slip_speed


@njit(cache=True, error_model="numpy")
def _red_light(slot, before, step, row, limits):
    """Whether the front bumper of one slot crossed a red stop point in the last step."""
    if before[PRESENT] == 0 or step >= row[NUM_STEPS]:
        return np.uint8(0)
    signals = floats(row[SIGNALS], (row[NUM_SIGNALS], 5))
    shown = bytes_(row[SIGNAL_STATE], (row[NUM_SIGNALS], row[NUM_STEPS]))
    half_length = np.float32(0.5) * slot[LENGTH]
    bottom = slot[Z] - np.float32(0.5) * slot[HEIGHT]
    front_x, front_y = slot[X] + half_length * slot[COS], slot[Y] + half_length * slot[SIN]
    old_x, old_y = before[X] + half_length * before[COS], before[Y] + half_length * before[SIN]
    for s in range(row[NUM_SIGNALS]):
        if shown[s, step] != _STOP and shown[s, step] != _ARROW_STOP:
            continue
        ux, uy = signals[s, STOP_COS], signals[s, STOP_SIN]
        dx, dy = front_x - signals[s, STOP_X], front_y - signals[s, STOP_Y]
        then = (old_x - signals[s, STOP_X]) * ux + (old_y - signals[s, STOP_Y]) * uy
        if (
            then < 0 <= dx * ux + dy * uy
            and abs(cross(dx, dy, ux, uy)) <= limits.stop_line_half_width
            and slot[COS] * ux + slot[SIN] * uy > 0.5
            and abs(bottom - signals[s, STOP_Z]) <= LEVEL_M
        ):
            return _RED_LIGHT
    return np.uint8(0)
