"""The careful driver's choice: a lattice of accelerations and lateral moves, each played against the forecasts."""

# mypy: allow-untyped-defs
from __future__ import annotations

import numpy as np
from numba import njit

from trafficgym.scene.scene import SignalState
from trafficgym.world.geometry import wrap_angle
from trafficgym.world.pointers import bytes_, floats
from trafficgym.world.road_index import AX, AY, EX, EY, LANES, NUM_LANES, NUM_SIGNALS, NUM_STEPS, SIGNAL_STATE
from trafficgym.world.road_queries import lanes_at
from trafficgym.world.state import ACCELERATION, COS, HEIGHT, LENGTH, SIN, SPEED, WIDTH, YAW, X, Y, Z
from trafficgym_scenarios.corridor import LINE_CURVATURE, LINE_SPEED, LINE_YAW, along, locate, place, room
from trafficgym_scenarios.forecast import (
    AT_COS,
    AT_SIN,
    AT_VX,
    AT_VY,
    AT_X,
    AT_Y,
    HALF_LENGTH,
    HALF_WIDTH,
    NUM_TIMES,
    OTHER_D,
    OTHER_LENGTH,
    OTHER_S,
    OTHER_VD,
    OTHER_VS,
    OTHER_WIDTH,
    STEP_S,
    WEIGHT,
    forecast,
)

NUM_ACCELERATIONS, NUM_TARGETS = 8, 9
# Columns of a lateral target: offset from the path [m], stiffness [1/s], lateral acceleration [m/s^2], what it costs.
OFFSET, STIFFNESS, LATERAL, PRICE = range(4)
# Of a plan: box centre, direction, speed.
AT_SPEED = 4
NUM_PLAN = 5

AXLE, WHEELBASE = 0.3, 0.6
"""Rear axle behind the box centre, and wheelbase, over box length: those of `Bicycle`."""
_COLLISION, _OFF_ROAD, _WRONG_SIDE, _CLOSE = 1000.0, 700.0, 8.0, 60.0
_FADE_S = 2.5
"""What happens later counts for less, as there is still time to do something about it."""
_IN_BENDS = 2.5
"""m/s^2, for the path's own bends, on top of what a move to the side may ask for."""
_STOP, _ARROW_STOP = int(SignalState.STOP), int(SignalState.ARROW_STOP)
_CAUTION, _ARROW_CAUTION = int(SignalState.CAUTION), int(SignalState.ARROW_CAUTION)


@njit(cache=True, error_model="numpy")
def decide(table, n, step, row, corridor, manner, scratch):
    """Choose for slot n.

    Args:
        table: `State.table` of the world, ``[N, 16]``.
        n: The driver's slot.
        step: Scene step now, for the signals.
        row: `RoadIndex.row` of the world.
        corridor: `Corridor`, as a plain tuple.
        manner: `Manner`, as a plain tuple.
        scratch: Arrays to write in; see `careful.Scratch`.

    Returns:
        Acceleration [m/s^2], and curvature of the rear axle's path [1/m].
    """
    line, clear, lanes, stops = corridor
    others, heads, paths, targets, wanted, plan = scratch
    own = table[n]
    lead = AXLE * own[LENGTH]
    cos, sin, speed = float(own[COS]), float(own[SIN]), float(own[SPEED])
    s, d = locate(line, own[X] - lead * cos, own[Y] - lead * sin, cos, sin, True)
    turned = float(wrap_angle(own[YAW] - np.float32(along(line, LINE_YAW, s))))
    num, count = forecast(table, n, line, lanes, s + lead, d, others, heads, paths)
    border = _find_targets(own, s, d, line, row, targets)
    stop = _stop_gap(s + lead + 0.5 * own[LENGTH], speed, stops, step, row, manner)
    here = s, d, turned, max(speed, 0.0), lead, border
    best, best_acceleration, best_target = 1e18, 0.0, 0
    for i in range(NUM_TARGETS):
        if targets[i, PRICE] < 0:
            continue
        target = targets[i]
        ideal = _ideal(own, s + lead, speed, target[OFFSET], line, others, num, stop, manner)
        wanted[0] = ideal
        for j in range(NUM_ACCELERATIONS):
            acceleration = wanted[j]
            off = acceleration - ideal
            cost = target[PRICE] + (0.8 if off > 0 else 0.2) * off * off
            jerk = acceleration - own[ACCELERATION]
            cost += 0.08 * jerk * jerk
            if cost >= best:
                continue
            cost += _drive(own, here, acceleration, target, line, clear, plan, best - cost)
            if cost < best:
                cost += _conflict(own, plan, heads, paths, count, best - cost)
            if cost < best:
                best, best_acceleration, best_target = cost, acceleration, i
    curvature, _ = _steer(s, d, turned, max(speed, 0.0), targets[best_target], line, own[LENGTH])
    return best_acceleration, curvature


@njit(cache=True, error_model="numpy")
def _find_targets(own, s, d, line, row, targets):
    """Fill in the lateral targets; those with a negative price don't exist.

    Returns:
        Offset beyond which the road belongs to oncoming traffic [m].
    """
    targets[:, PRICE] = -1.0
    border = 1e9
    ahead = s + 5.0 + 0.5 * own[SPEED]
    bottom = own[Z] - np.float32(0.5) * own[HEIGHT]
    for k in range(2):
        side = 1.0 if k == 0 else -1.0
        target = targets[4 + k]
        offset, is_along, found = _lane_beside(side, ahead, line, bottom, row)
        target[OFFSET] = offset if found else 2.4 * side
        target[PRICE] = 8.0 if found and is_along else 12.0
        if side > 0 and found and not is_along:
            border = 0.5 * offset
        targets[2 + k, OFFSET], targets[2 + k, PRICE] = 1.2 * side, 4.0
        targets[6 + k, OFFSET], targets[6 + k, PRICE] = 0.6 * target[OFFSET], 8.0
    targets[0, OFFSET], targets[0, PRICE] = 0.0, 0.0
    if abs(d) > 0.4:
        targets[1, OFFSET], targets[1, PRICE] = 0.0, 0.5
        targets[8, OFFSET], targets[8, PRICE] = d, 4.0
    targets[:, STIFFNESS], targets[:, LATERAL] = 2.2, 4.0
    targets[0, STIFFNESS], targets[0, LATERAL] = 1.1, 2.0
    return border


@njit(cache=True, error_model="numpy")
def _lane_beside(side, s, line, bottom, row):
    """Offset of the centre of the lane beside the path [m], whether it runs along, and whether there is one."""
    if row[NUM_LANES] == 0:
        return 0.0, False, False
    x, y, yaw = place(line, s, 3.5 * side)
    cos, sin = np.cos(yaw), np.sin(yaw)
    reach = np.float32(1.5)
    segment, is_along, _ = lanes_at(np.float32(x), np.float32(y), bottom, np.float32(cos), np.float32(sin), reach, row)
    if segment < 0:
        return 0.0, False, False
    lane = floats(row[LANES], (row[NUM_LANES], 8))[segment]
    length = np.sqrt(lane[EX] * lane[EX] + lane[EY] * lane[EY])
    ux, uy = lane[EX] / length, lane[EY] / length
    if abs(ux * cos + uy * sin) < 0.9:
        return 0.0, False, False  # it crosses
    px, py, _ = place(line, s, 0.0)
    away = (lane[AY] - py) * ux - (lane[AX] - px) * uy
    return (away if is_along else -away), is_along, True


@njit(cache=True, error_model="numpy")
def _stop_gap(front, speed, stops, step, row, manner):
    """From the front bumper to the nearest stop point that shows red, or yellow where one can still stop [m]."""
    nearest = 1e9
    if row[NUM_SIGNALS] == 0 or step >= row[NUM_STEPS]:
        return nearest
    shown = bytes_(row[SIGNAL_STATE], (row[NUM_SIGNALS], row[NUM_STEPS]))
    for k in range(len(stops)):
        gap = stops[k] - front
        if stops[k] < 0 or gap < -0.5:
            continue
        red = shown[k, step] == _STOP or shown[k, step] == _ARROW_STOP
        yellow = shown[k, step] == _CAUTION or shown[k, step] == _ARROW_CAUTION
        if red or (yellow and gap > speed * speed / (2.0 * manner[3])):
            nearest = min(nearest, gap)
    return nearest


@njit(cache=True, error_model="numpy")
def _ideal(own, s, speed, offset, line, others, num, stop, manner):
    """Acceleration of the intelligent driver model in a lane [m/s^2], braking no harder than it has to."""
    headway, standstill, strongest, comfortable = manner
    desired = along(line, LINE_SPEED, s)
    if desired < 0.1:
        return -comfortable if speed > 0.1 else 0.0
    ratio = speed / desired
    free = strongest * (1.0 - ratio**4) if ratio < 1 else -comfortable * min(ratio - 1.0, 0.5) * 2.0
    result, root = free, 2.0 * np.sqrt(strongest * comfortable)
    for k in range(num + 1):
        if k < num:
            other = others[k]
            gap = other[OTHER_S] - s
            if gap <= 0 or gap > 40.0 + 6.0 * speed:
                continue
            reach = 0.5 * (own[WIDTH] + other[OTHER_WIDTH]) + 0.2
            aside = abs(other[OTHER_D] - offset)
            if aside > reach and abs(other[OTHER_D] + other[OTHER_VD] - offset) > reach:
                continue
            gap -= 0.5 * (own[LENGTH] + other[OTHER_LENGTH])
            its_speed = other[OTHER_VS]
        else:
            if stop > 1e8:
                continue
            gap, its_speed = stop + standstill - 1.0, 0.0
        gap = max(gap, 0.5)
        closing = speed - its_speed
        share = (standstill + max(speed * headway + speed * closing / root, 0.0)) / gap
        needed = 1.3 * closing * closing / (2.0 * max(gap - 1.0, 0.5)) if closing > 0 else 0.0
        result = min(result, max(min(free, strongest) - strongest * share * share, -max(needed, 3.0)))
    return max(result, -8.0)


@njit(cache=True, error_model="numpy", inline="always")
def _steer(s, d, turned, speed, target, line, length):
    """Curvature that leads to the target [1/m], and that of the path there."""
    stiffness, lateral = target[STIFFNESS], target[LATERAL]
    bend = along(line, LINE_CURVATURE, s)
    reach = max(speed / stiffness, 2.5)
    pull = (target[OFFSET] - d) / (reach * reach) - 2.0 * turned / reach
    most = lateral / max(speed * speed, 1.0)
    base = bend / max(1.0 - bend * d, 0.2)
    sharpest = 0.54 / (WHEELBASE * length)
    sharpest = min(sharpest, most + _IN_BENDS / max(speed * speed, 1.0))
    return min(max(base + min(max(pull, -most), most), -sharpest), sharpest), bend


@njit(cache=True, error_model="numpy")
def _drive(own, here, acceleration, target, line, clear, plan, limit):
    """Write the plan, and return what the road says against it; it stops as soon as that exceeds `limit`."""
    s, d, turned, speed, lead, border = here
    length, half_width = own[LENGTH], 0.5 * own[WIDTH]
    cost, is_off = 0.0, False
    needed = max(-(half_width + 0.15), room(clear, s, d) + 0.02)
    needed_ahead = max(-(half_width + 0.15), room(clear, s + 0.7 * length, d + 0.7 * length * turned) + 0.02)
    for k in range(NUM_TIMES):
        curvature, bend = _steer(s, d, turned, speed, target, line, length)
        faster = max(speed + acceleration * STEP_S, 0.0)
        way = 0.5 * (speed + faster) * STEP_S
        forward = way * (1.0 - 0.5 * turned * turned) / max(1.0 - bend * d, 0.2)
        turn = curvature * way - bend * forward
        d += way * (turned + 0.5 * turn)
        s += forward
        turned += turn
        speed = faster
        x, y, yaw = place(line, s, d)
        cos, sin = np.cos(yaw + turned), np.sin(yaw + turned)
        plan[k, AT_X], plan[k, AT_Y] = x + lead * cos, y + lead * sin
        plan[k, AT_COS], plan[k, AT_SIN], plan[k, AT_SPEED] = cos, sin, speed
        fade = np.exp(-(k + 1) * STEP_S / _FADE_S)
        if not is_off:
            off = room(clear, s, d) > needed
            if off or room(clear, s + 0.7 * length, d + 0.7 * length * turned) > needed_ahead:
                is_off = True
                cost += _OFF_ROAD * fade * (0.3 + 0.7 * min(speed / 5.0, 1.0))
        if d + lead * turned > border:
            cost += _WRONG_SIDE
        if cost > limit:
            break
    return cost


@njit(cache=True, error_model="numpy")
def _conflict(own, plan, heads, paths, count, limit):
    """What the forecasts say against a plan; it stops as soon as that exceeds `limit`."""
    half_length, half_width = 0.5 * own[LENGTH], 0.5 * own[WIDTH]
    radius = np.hypot(half_length, half_width)
    cost = 0.0
    for p in range(count):
        weight = heads[p, WEIGHT]
        its_length, its_width = heads[p, HALF_LENGTH], heads[p, HALF_WIDTH]
        its_radius, closest = np.hypot(its_length, its_width), 0.0
        for k in range(NUM_TIMES):
            at = paths[p, k]
            dx, dy = at[AT_X] - plan[k, AT_X], at[AT_Y] - plan[k, AT_Y]
            speed = plan[k, AT_SPEED]
            its_speed = abs(at[AT_VX]) + abs(at[AT_VY])
            reach = radius + its_radius + 0.05 * (speed + its_speed) + 1.2
            if dx * dx + dy * dy > reach * reach:
                continue
            cos, sin = plan[k, AT_COS], plan[k, AT_SIN]
            gap = _gap(
                dx,
                dy,
                cos,
                sin,
                half_length + 0.05 * speed,
                half_width,
                at[AT_COS],
                at[AT_SIN],
                its_length + 0.05 * its_speed,
                its_width,
            )
            t = (k + 1) * STEP_S
            fade = np.exp(-t / _FADE_S)
            if gap < 0.15 + 0.04 * t:
                impact = np.hypot(speed * cos - at[AT_VX], speed * sin - at[AT_VY])
                cost += weight * fade * (_COLLISION * (0.3 + 0.7 * min(impact / 12.0, 1.0)))
                break
            margin = 0.6 + 0.14 * t
            if gap < margin:
                near = 1.0 - gap / margin
                closest += near * near * fade
        cost += _CLOSE * STEP_S * weight * closest
        if cost > limit:
            break
    return cost


@njit(cache=True, error_model="numpy")
def _gap(dx, dy, cos_a, sin_a, half_length_a, half_width_a, cos_b, sin_b, half_length_b, half_width_b):
    """Largest gap between two boxes along any of their axes [m]; negative where they overlap."""
    c, s = abs(cos_a * cos_b + sin_a * sin_b), abs(cos_a * sin_b - sin_a * cos_b)
    gap = abs(dx * cos_a + dy * sin_a) - half_length_a - half_length_b * c - half_width_b * s
    gap = max(gap, abs(dy * cos_a - dx * sin_a) - half_width_a - half_length_b * s - half_width_b * c)
    gap = max(gap, abs(dx * cos_b + dy * sin_b) - half_length_b - half_length_a * c - half_width_a * s)
    return max(gap, abs(dy * cos_b - dx * sin_b) - half_width_b - half_length_a * s - half_width_a * c)
