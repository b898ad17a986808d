"""What others may do in the next seconds, as a careful driver reckons: each goes on, or turns, or brakes hard.

Someone who moves along the driver's path, in either direction, is thought to keep to its lane, or to go on shifting
sideways; anybody else goes straight on, or keeps turning. Whoever starts from the side of the road, or is oncoming,
slow and begins to turn, may come across. Braking that has begun goes on to a standstill, speeding up for a second.
"""

# mypy: allow-untyped-defs
from __future__ import annotations

import numpy as np
from numba import njit

from trafficgym.scene.scene import AgentType
from trafficgym.world.geometry import wrap_angle
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
from trafficgym_scenarios.corridor import LINE_CURVATURE, LINE_YAW, along, lane_centre, locate, place

NUM_TIMES = 18
STEP_S = 0.2
"""Forecasts and plans look 3.6 s ahead."""
MAX_OTHERS = 24
MAX_FORECASTS = 5 * MAX_OTHERS
# Columns of what is known of another road user, in the frame of the path.
OTHER_S, OTHER_D, OTHER_VS, OTHER_VD, OTHER_ACCELERATION, OTHER_LENGTH, OTHER_WIDTH, OTHER_MOVES = range(8)
# Columns of a forecast: how likely it is taken to be (1: for certain), and half of the box.
WEIGHT, HALF_LENGTH, HALF_WIDTH = range(3)
# Of a forecast at one time.
AT_X, AT_Y, AT_COS, AT_SIN, AT_VX, AT_VY = range(6)

_PEDESTRIAN, _CYCLIST = int(AgentType.PEDESTRIAN), int(AgentType.CYCLIST)
_HARD_BRAKING = 6.0
_LANE_M = 3.7
_LANE_BENDS = 0.9
"""m in one time step; a larger jump is to another lane."""
_CHANGE_S = 2.0
"""A move to the side goes on for so long."""
_TURN_S = 3.0
_SHARP = 1.0 / 8.0
"""1/m, of the way of who may come across."""


@njit(cache=True, error_model="numpy")
def forecast(table, n, line, lanes, own_s, own_d, others, heads, paths):
    """Forecast everybody near slot n.

    Args:
        table: `State.table` of the world, ``[N, 16]``.
        n: The driver's slot.
        line: `Corridor.line`; lanes alike.
        own_s: Where the driver is along it [m]; own_d alike.
        others: Written, ``[MAX_OTHERS, 8]``: who is near.
        heads: Written, ``[MAX_FORECASTS, 3]``.
        paths: Written, ``[MAX_FORECASTS, NUM_TIMES, 6]``: box centre, direction, velocity.

    Returns:
        How many others there are, and how many forecasts.
    """
    own = table[n]
    own_speed = abs(own[SPEED])
    num, count = 0, 0
    for j in range(len(table)):
        if num == MAX_OTHERS:
            break
        other = table[j]
        if j == n or other[PRESENT] == 0:
            continue
        if abs(other[Z] - own[Z]) > max(0.5 * (own[HEIGHT] + other[HEIGHT]), 1.0):
            continue
        dx, dy = other[X] - own[X], other[Y] - own[Y]
        speed = np.hypot(other[VX], other[VY])
        reach = 15.0 + NUM_TIMES * STEP_S * (own_speed + speed)
        if dx * dx + dy * dy > reach * reach:
            continue
        row = others[num]
        _see(other, line, speed, row)
        count = _forecast_one(other, line, lanes, own_s, own_d, own_speed, row, heads, paths, count)
        num += 1
    return num, count


@njit(cache=True, error_model="numpy")
def _see(other, line, speed, row):
    """Fill in a row of `others`."""
    s, d = locate(line, other[X], other[Y], 0.0, 0.0, False)
    yaw = along(line, LINE_YAW, s)
    cos, sin = np.cos(yaw), np.sin(yaw)
    c, t = abs(other[COS] * cos + other[SIN] * sin), abs(other[SIN] * cos - other[COS] * sin)
    row[OTHER_S], row[OTHER_D] = s, d
    row[OTHER_VS] = (other[VX] * cos + other[VY] * sin) / max(1.0 - d * along(line, LINE_CURVATURE, s), 0.2)
    row[OTHER_VD] = other[VY] * cos - other[VX] * sin
    gain = other[ACCELERATION] if other[SPEED] >= 0 else -other[ACCELERATION]
    row[OTHER_ACCELERATION] = min(max(gain, -8.0), 4.0)
    row[OTHER_LENGTH] = c * other[LENGTH] + t * other[WIDTH]
    row[OTHER_WIDTH] = t * other[LENGTH] + c * other[WIDTH]
    row[OTHER_MOVES] = speed > 0.3 or abs(other[ACCELERATION]) > 0.5


@njit(cache=True, error_model="numpy")
def _forecast_one(other, line, lanes, own_s, own_d, own_speed, row, heads, paths, count):
    kind = other[KIND]
    if row[OTHER_MOVES] == 0:
        count = _add_straight(other, 1.0, 0.0, 0.0, heads, paths, count)
        ahead = row[OTHER_S] - own_s
        if kind in (_PEDESTRIAN, _CYCLIST) and 0 < ahead < 60.0 and abs(row[OTHER_D] - own_d) < 6.0:
            yaw = along(line, LINE_YAW, row[OTHER_S])
            side = -1.5 if row[OTHER_D] > own_d else 1.5  # m/s, onto the path
            count = _add_straight(other, 0.1, -side * np.sin(yaw), side * np.cos(yaw), heads, paths, count)
        return count
    vs, vd = row[OTHER_VS], row[OTHER_VD]
    follows = abs(vd) < 0.45 * abs(vs) and abs(row[OTHER_D]) < 12.0 and kind != _PEDESTRIAN
    if not follows:
        weight = 0.6 if abs(other[YAW_RATE]) > 0.05 else 1.0
        count = _add_straight(other, weight, other[VX], other[VY], heads, paths, count)
        if weight < 1.0:
            count = _add_turn(other, 0.8, _bend(other), row[OTHER_ACCELERATION], heads, paths, count)
        return count
    weight = 1.0
    if vs > 0 and row[OTHER_S] < own_s and abs(row[OTHER_D] - own_d) < 2.5:
        # Whoever follows sees what the driver does, unless it is much too fast.
        weight = 0.15 if vs < own_speed + 3.0 else 0.7
    acceleration, shifts = row[OTHER_ACCELERATION], abs(vd) > 0.3
    may_come = _may_come_across(row, own_s, own_d)
    sharp = -_SHARP if (row[OTHER_D] > own_d) == (vs > 0) else _SHARP
    if may_come and vs < 0:  # it turns off, and will not come along the path
        count = _add_in_lane(other, line, lanes, row, 0.2, acceleration, heads, paths, count)
        count = _add_turn(other, 0.6, _bend(other), acceleration, heads, paths, count)
        return _add_turn(other, 0.8, sharp, acceleration, heads, paths, count)
    count = _add_in_lane(other, line, lanes, row, (0.3 if shifts else 1.0) * weight, acceleration, heads, paths, count)
    if shifts:
        count = _add_across(other, line, row, weight, vd, _LANE_M, heads, paths, count)
    if abs(vd) > 1.2:
        count = _add_across(other, line, row, 0.3 * weight, vd, 3.0 * _LANE_M, heads, paths, count)
    if vs > 0 and row[OTHER_S] > own_s and abs(row[OTHER_D] - own_d) < 2.5:
        count = _add_in_lane(other, line, lanes, row, 0.05, -_HARD_BRAKING, heads, paths, count)
    swing = other[YAW_RATE] - along(line, LINE_CURVATURE, row[OTHER_S]) * vs
    if may_come:
        count = _add_turn(other, 0.4, sharp, acceleration, heads, paths, count)
    elif abs(swing) > 0.08 and abs(vs) > 1.0:
        count = _add_turn(other, 0.5 * weight, _bend(other), acceleration, heads, paths, count)
    return count


@njit(cache=True, error_model="numpy", inline="always")
def _may_come_across(row, own_s, own_d):
    """Whether somebody slow ahead starts from the side of the road, or is oncoming and begins to turn."""
    aside, vs = row[OTHER_D] - own_d, row[OTHER_VS]
    if row[OTHER_S] < own_s or not 1.0 < abs(aside) < 6.0 or abs(vs) > 8.0:
        return False
    if vs < 0:
        return aside * row[OTHER_VD] < 0 and abs(row[OTHER_VD]) > 0.1
    return vs < 5.0 and row[OTHER_ACCELERATION] > 0.3 and abs(aside) > 1.5


@njit(cache=True, error_model="numpy", inline="always")
def _bend(other):
    """Curvature of the way of somebody who moves [1/m]."""
    return other[YAW_RATE] / max(abs(other[SPEED]), np.float32(1.0))


@njit(cache=True, error_model="numpy", inline="always")
def _begin(other, weight, heads, count):
    heads[count, WEIGHT] = weight
    heads[count, HALF_LENGTH], heads[count, HALF_WIDTH] = 0.5 * other[LENGTH], 0.5 * other[WIDTH]


@njit(cache=True, error_model="numpy", inline="always")
def _way(speed, acceleration, t):
    """Way and speed after t seconds: braking to a standstill, or speeding up for one second."""
    if acceleration < 0:
        t = min(t, -speed / acceleration)
        return speed * t + 0.5 * acceleration * t * t, speed + acceleration * t
    u = min(t, 1.0)
    faster = speed + acceleration * u
    return speed * u + 0.5 * acceleration * u * u + faster * (t - u), faster


@njit(cache=True, error_model="numpy")
def _add_straight(other, weight, vx, vy, heads, paths, count):
    """Straight on at (vx, vy), its present acceleration taken along."""
    _begin(other, weight, heads, count)
    speed = np.hypot(vx, vy)
    moves = speed > 0.3
    ux, uy = (vx / speed, vy / speed) if moves else (other[COS], other[SIN])
    acceleration = other[ACCELERATION] if other[SPEED] >= 0 else -other[ACCELERATION]
    acceleration = min(max(acceleration, -8.0), 4.0) if abs(other[SPEED]) > 0.1 or acceleration > 0.5 else 0.0
    for k in range(NUM_TIMES):
        way, now = _way(speed, acceleration, (k + 1) * STEP_S)
        at = paths[count, k]
        at[AT_X], at[AT_Y] = other[X] + ux * way, other[Y] + uy * way
        at[AT_COS], at[AT_SIN] = other[COS], other[SIN]
        at[AT_VX], at[AT_VY] = ux * now, uy * now
    return count + 1


@njit(cache=True, error_model="numpy")
def _add_turn(other, weight, curvature, acceleration, heads, paths, count):
    """On a circle, for three seconds or a quarter of it, then straight on."""
    _begin(other, weight, heads, count)
    x, y = float(other[X]), float(other[Y])
    yaw, speed = float(other[YAW]), float(other[SPEED])
    sign = 1.0 if speed >= 0 else -1.0
    course = np.arctan2(sign * other[VY], sign * other[VX])
    slip = wrap_angle(np.float32(course - yaw)) if abs(speed) > 1.0 else 0.0
    turned, before = 0.0, 0.0
    for k in range(NUM_TIMES):
        t = (k + 1) * STEP_S
        way, now = _way(abs(speed), acceleration, t)
        turn = curvature * (way - before) if t <= _TURN_S and abs(turned) < 0.5 * np.pi else 0.0
        ux, uy = sign * np.cos(yaw + slip + 0.5 * turn), sign * np.sin(yaw + slip + 0.5 * turn)
        x += ux * (way - before)
        y += uy * (way - before)
        yaw += turn
        turned += turn
        before = way
        at = paths[count, k]
        at[AT_X], at[AT_Y], at[AT_COS], at[AT_SIN] = x, y, np.cos(yaw), np.sin(yaw)
        at[AT_VX], at[AT_VY] = ux * now, uy * now
    return count + 1


@njit(cache=True, error_model="numpy")
def _add_in_lane(other, line, lanes, row, weight, acceleration, heads, paths, count):
    """Along its lane, wherever that leads."""
    _begin(other, weight, heads, count)
    sign = 1.0 if row[OTHER_VS] >= 0 else -1.0
    turned = other[YAW] - along(line, LINE_YAW, row[OTHER_S])
    centre = lane_centre(lanes, row[OTHER_S], row[OTHER_D])
    aside = row[OTHER_D] - centre if centre == centre else 0.0
    if centre != centre:
        centre = row[OTHER_D]
    for k in range(NUM_TIMES):
        way, now = _way(abs(row[OTHER_VS]), acceleration, (k + 1) * STEP_S)
        s, before = row[OTHER_S] + sign * way, centre
        found = lane_centre(lanes, s, centre)
        if abs(found - centre) < _LANE_BENDS:
            centre = found
        _put(line, s, centre + aside, turned, sign * now, (centre - before) / STEP_S, paths[count, k])
    return count + 1


@njit(cache=True, error_model="numpy")
def _add_across(other, line, row, weight, sideways, furthest, heads, paths, count):
    """Along the path, shifting sideways for two seconds, by up to `furthest` metres."""
    _begin(other, weight, heads, count)
    sign = 1.0 if row[OTHER_VS] >= 0 else -1.0
    turned = other[YAW] - along(line, LINE_YAW, row[OTHER_S])
    lasts = min(_CHANGE_S, furthest / abs(sideways))
    for k in range(NUM_TIMES):
        t = (k + 1) * STEP_S
        way, now = _way(abs(row[OTHER_VS]), row[OTHER_ACCELERATION], t)
        s, d = row[OTHER_S] + sign * way, row[OTHER_D] + sideways * min(t, lasts)
        _put(line, s, d, turned, sign * now, sideways if t < lasts else 0.0, paths[count, k])
    return count + 1


@njit(cache=True, error_model="numpy", inline="always")
def _put(line, s, d, turned, speed, sideways, at):
    """Fill in one time of a forecast along the path."""
    x, y, yaw = place(line, s, d)
    cos, sin = np.cos(yaw), np.sin(yaw)
    at[AT_X], at[AT_Y] = x, y
    at[AT_COS], at[AT_SIN] = np.cos(yaw + turned), np.sin(yaw + turned)
    at[AT_VX], at[AT_VY] = speed * cos - sideways * sin, speed * sin + sideways * cos
