"""Heroes play their scripts (`trafficgym.scene.script`): one step of all heroes of all worlds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.script import MAX_PHASES, TRIGGERS, HeroScript, Phase
from trafficgym.world.events import RISE
from trafficgym.world.geometry import wrap_angle
from trafficgym.world.log import measure
from trafficgym.world.state import DT, LENGTH, PRESENT, SPEED, VX, VY, WIDTH, YAW, X, Y, Z

PATH_POINTS = 256
# Columns of a phase's row.
UNTIL, VALUE, AT_MOST, MODE, TARGET, ACCELERATION, DECELERATION, MOVES, OFFSET, DURATION, NEW_WIDTH = range(11)
NUM_PHASE = 11
# What a phase does along the path.
KEEP, SPEED_OF, GAP_TO, ARRIVE_AFTER = range(4)
# Columns of a hero's constants and of what it remembers.
SPACING, NUM_PHASES, MEET_X, MEET_Y, MEET_S, WARM_UP, EGO, SLOT = range(8)
PHASE, SINCE_START, SINCE_PHASE, ALONG, ASIDE, FROM, CRUISE = range(7)
NUM_CONSTANTS, NUM_MEMORY = 8, 7

_NEVER, _TIME, _DISTANCE, _TIME_GAP, _TTC, _ARRIVAL = range(len(TRIGGERS))
_DT = np.float32(DT)
_GAIN, _SPEED_GAIN = np.float32(0.5), np.float32(1.2)
"""1/s^2 and 1/s: how a hero closes the difference to the gap that it wants."""
_FAR = np.float32(1e9)


class HeroTables(NamedTuple):
    """The heroes of B worlds, up to H in each."""

    path: NDArray[np.float32]  # (B, H, PATH_POINTS, 2) m, evenly spaced
    phases: NDArray[np.float32]  # (B, H, MAX_PHASES, NUM_PHASE)
    constants: NDArray[np.float32]  # (B, H, NUM_CONSTANTS); SLOT is -1 for none
    memory: NDArray[np.float32]  # (B, H, NUM_MEMORY)

    @classmethod
    def zeros(cls, num_worlds: int, num_heroes: int) -> HeroTables:
        """Room for heroes, and none in it."""
        lead = num_worlds, num_heroes
        tables = cls(
            np.zeros((*lead, PATH_POINTS, 2), np.float32),
            np.zeros((*lead, MAX_PHASES, NUM_PHASE), np.float32),
            np.zeros((*lead, NUM_CONSTANTS), np.float32),
            np.zeros((*lead, NUM_MEMORY), np.float32),
        )
        tables.constants[..., SLOT] = -1
        return tables


class Hero(NamedTuple):
    """One script, laid out for the tables."""

    path: NDArray[np.float32]
    phases: NDArray[np.float32]
    constants: NDArray[np.float32]
    memory: NDArray[np.float32]


def lay_out(script: HeroScript, row: NDArray[np.float32], slot: int, ego_slot: int) -> Hero:
    """Lay out a script for a hero that starts in a given state.

    Args:
        script: The script.
        row: The hero's row of `State.table` at the start.
        slot: The hero's slot.
        ego_slot: That of the ego.
    """
    points = np.asarray(script.path, np.float64)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.linspace(0.0, arc[-1], PATH_POINTS)
    path = np.stack([np.interp(at, arc, points[:, k]) for k in range(2)], 1).astype(np.float32)
    phases = np.zeros((MAX_PHASES, NUM_PHASE), np.float32)
    for k, phase in enumerate(script.phases):
        phases[k] = _phase_row(phase)
    constants = np.zeros(NUM_CONSTANTS, np.float32)
    constants[[SPACING, NUM_PHASES, WARM_UP, EGO, SLOT]] = at[1], len(script.phases), script.warm_up, ego_slot, slot
    if script.meeting_point is not None:
        constants[[MEET_X, MEET_Y]] = script.meeting_point
        constants[MEET_S] = _project(path, constants[SPACING], constants[MEET_X], constants[MEET_Y])[0]
    along, aside = _project(path, constants[SPACING], row[X], row[Y])
    memory = np.zeros(NUM_MEMORY, np.float32)
    memory[[ALONG, ASIDE, FROM, CRUISE]] = along, aside, aside, row[SPEED]
    return Hero(path, phases, constants, memory)


def _phase_row(phase: Phase) -> list[float]:
    mode, target = KEEP, 0.0
    for kind, value in ((SPEED_OF, phase.speed), (GAP_TO, phase.gap), (ARRIVE_AFTER, phase.arrival)):
        if value is not None:
            mode, target = kind, value
    return [
        TRIGGERS.index(phase.until.kind),
        phase.until.value,
        min(phase.until.at_most, 1e9),
        mode,
        target,
        phase.acceleration,
        phase.deceleration,
        phase.offset is not None,
        phase.offset or 0.0,
        phase.duration,
        phase.width or 0.0,
    ]


@njit(cache=True, error_model="numpy")
def move_heroes(table, before, running, tables, lane):
    """Move the heroes of the running worlds by one step.

    Args:
        table: `State.table`, float32 ``[B, N, 16]``; rows of heroes are written.
        before: The same before the step.
        running: bool ``[B]``.
        tables: `HeroTables`; memory is written.
        lane: `Watch.lane`.
    """
    paths, phases, constants, memory = tables
    for b in range(table.shape[0]):
        if not running[b]:
            continue
        for h in range(constants.shape[1]):
            slot = int(constants[b, h, SLOT])
            if slot >= 0 and before[b, slot, PRESENT] != 0:
                ego = before[b, int(constants[b, h, EGO])]
                _move(table[b, slot], before[b, slot], ego, paths[b, h], phases[b, h], constants[b, h], memory[b, h])
                measure(table[b, slot], before[b, slot])
                table[b, slot, Z] += lane[b, slot, RISE]


@njit(cache=True, error_model="numpy")
def _move(slot, own, ego, path, phases, constants, memory):
    spacing, speed = constants[SPACING], own[SPEED]
    ego_s, _ = _project(path, spacing, ego[X], ego[Y])
    ux, uy = _direction(path, spacing, ego_s)
    there = ego[PRESENT] != 0
    # The ego as the hero sees it: how far ahead along the path, how fast along it, and when at the meeting point.
    view = (
        ego_s - memory[ALONG],
        np.float32(0.5) * (own[LENGTH] + ego[LENGTH]),
        ego[VX] * ux + ego[VY] * uy if there else np.float32(0.0),
        np.hypot(ego[X] - constants[MEET_X], ego[Y] - constants[MEET_Y]) / max(abs(ego[SPEED]), np.float32(0.1)),
    )
    warm = memory[SINCE_START] >= constants[WARM_UP] - np.float32(0.05)
    k = int(memory[PHASE])
    if there and warm and k + 1 < constants[NUM_PHASES] and _fires(phases[k], memory[SINCE_PHASE], view, speed):
        k += 1
        memory[PHASE], memory[SINCE_PHASE], memory[FROM], memory[CRUISE] = k, 0, memory[ASIDE], speed
    phase = phases[k]
    new_speed = speed + _acceleration(phase, memory, constants[MEET_S], view, speed) * _DT
    memory[SINCE_START] += _DT
    memory[SINCE_PHASE] += _DT
    memory[ALONG] += np.float32(0.5) * (speed + new_speed) * _DT
    aside = memory[ASIDE]
    memory[ASIDE] = _offset(phase, memory)
    rate = (memory[ASIDE] - aside) / _DT
    x, y = _point(path, spacing, memory[ALONG])
    ux, uy = _direction(path, spacing, memory[ALONG])
    slot[X], slot[Y] = x - memory[ASIDE] * uy, y + memory[ASIDE] * ux
    slot[VX], slot[VY] = new_speed * ux - rate * uy, new_speed * uy + rate * ux
    yaw = np.arctan2(uy, ux)
    if abs(new_speed) > np.float32(0.2):
        yaw += np.arctan(rate / new_speed)
    slot[YAW] = wrap_angle(yaw)
    slot[SPEED] = new_speed
    if phase[NEW_WIDTH] > 0:
        slot[WIDTH] = phase[NEW_WIDTH]


@njit(cache=True, error_model="numpy")
def _fires(phase, since, view, speed):
    """Whether the trigger of a phase fires."""
    ahead, half_lengths, ego_speed, arrival = view
    kind, value = int(phase[UNTIL]), phase[VALUE]
    if since >= phase[AT_MOST] - np.float32(0.01):
        return True
    gap = max(abs(ahead) - half_lengths, np.float32(0.0))
    behind, before = (speed, ego_speed) if ahead > 0 else (ego_speed, speed)
    if kind == _TIME:
        return since >= value - np.float32(0.01)
    if kind == _DISTANCE:
        return gap <= value
    if kind == _TIME_GAP:
        return gap <= value * behind
    if kind == _TTC:
        return behind > before and gap <= value * (behind - before)
    return kind == _ARRIVAL and arrival <= value


@njit(cache=True, error_model="numpy")
def _acceleration(phase, memory, meet_s, view, speed):
    """What a phase wants along the path, within its limits [m/s^2]."""
    ahead, half_lengths, ego_speed, arrival = view
    mode, target = int(phase[MODE]), phase[TARGET]
    if mode == GAP_TO:
        wanted = target + (half_lengths if target >= 0 else -half_lengths)
        pull = _GAIN * (wanted + ahead) + _SPEED_GAIN * (ego_speed - speed)
        pull = max(pull, -speed / _DT)  # it does not reverse for that
    else:
        if mode == KEEP:
            target = memory[CRUISE]
        elif mode == ARRIVE_AFTER:
            left = meet_s - memory[ALONG]
            target = left / max(arrival + target, np.float32(0.3)) if left > 0 else memory[CRUISE]
        pull = (target - speed) / _DT
    return min(max(pull, -phase[DECELERATION]), phase[ACCELERATION])


@njit(cache=True, error_model="numpy")
def _offset(phase, memory):
    """Offset from the path, on a quintic from where the phase began [m]."""
    if phase[MOVES] == 0:
        return memory[ASIDE]
    u = min(memory[SINCE_PHASE] / phase[DURATION], np.float32(1.0))
    smooth = u * u * u * (np.float32(10.0) - np.float32(15.0) * u + np.float32(6.0) * u * u)
    return memory[FROM] + (phase[OFFSET] - memory[FROM]) * smooth


@njit(cache=True, error_model="numpy", inline="always")
def _piece(path, spacing, s):
    return min(max(int(s / spacing), 0), path.shape[0] - 2)


@njit(cache=True, error_model="numpy")
def _point(path, spacing, s):
    """Point at s metres along a path, which goes on straight beyond its ends."""
    k = _piece(path, spacing, s)
    u = s / spacing - k
    return path[k, 0] + u * (path[k + 1, 0] - path[k, 0]), path[k, 1] + u * (path[k + 1, 1] - path[k, 1])


@njit(cache=True, error_model="numpy")
def _direction(path, spacing, s):
    """Unit direction of a path at s, over one piece of it, so that it turns smoothly."""
    x0, y0 = _point(path, spacing, s - np.float32(0.5) * spacing)
    x1, y1 = _point(path, spacing, s + np.float32(0.5) * spacing)
    ex, ey = x1 - x0, y1 - y0
    length = max(np.sqrt(ex * ex + ey * ey), np.float32(1e-6))
    return ex / length, ey / length


@njit(cache=True, error_model="numpy")
def _project(path, spacing, x, y):
    """Where along a path, and how far to its left, a point lies [m]; before and after its ends on its straight ends."""
    best, best_s, best_d = _FAR, np.float32(0.0), np.float32(0.0)
    last = path.shape[0] - 2
    for k in range(last + 1):
        ex, ey = path[k + 1, 0] - path[k, 0], path[k + 1, 1] - path[k, 1]
        square = ex * ex + ey * ey
        if square == 0:
            continue
        rx, ry = x - path[k, 0], y - path[k, 1]
        t = (rx * ex + ry * ey) / square
        if k > 0:
            t = max(t, np.float32(0.0))
        if k < last:
            t = min(t, np.float32(1.0))
        px, py = rx - t * ex, ry - t * ey
        away = px * px + py * py
        if away < best:
            best, best_s = away, (k + t) * spacing
            best_d = np.sqrt(away) if ex * ry - ey * rx >= 0 else -np.sqrt(away)
    return best_s, best_d
