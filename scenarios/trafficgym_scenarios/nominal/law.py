# mypy: allow-untyped-defs
"""The drivers' law: one step of everybody.

Lengthwise each driver is an intelligent driver model with traits of its own, that reacts late and not quite
steadily; sideways it changes lane by MOBIL and wanders. The front axle follows the route, the rear axle follows the
front: so every motion is one of a kinematic bicycle.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from trafficgym_scenarios.nominal.changing import change_lanes, lateral_goal
from trafficgym_scenarios.nominal.columns import (
    ACCELERATION,
    AXLE,
    CHANGE_TIME,
    DRIFT,
    DT,
    FAR,
    KIND,
    LAG,
    LAST,
    LENGTH,
    MAX_ACCELERATION,
    MAX_LAG,
    NOISE,
    NOISE_STD,
    PCURVATURE,
    PRESENT,
    PROGRESS,
    ROUTE,
    SIDE,
    SPACING,
    SPEED,
    TOP_SPEED,
    WAIT,
    WALKING,
    WANDER,
    WANDER_STD,
    YAW,
    D,
    S,
    X,
    Y,
)
from trafficgym_scenarios.nominal.following import desired_speed, idm, leader, pose_at
from trafficgym_scenarios.nominal.giving_way import (
    STANDING,
    decide_order,
    obey_lines,
    set_out,
    stop_gap,
    wait_at_kerb,
    yield_to_others,
)

NOISE_S = 2.0  # s, memory of the noise in the acceleration
DRIFT_S = 5.0  # s, memory of the lateral noise
SMOOTH_S = 1.5  # s, over which lateral noise is smoothed
HARDEST = -7.0  # m/s^2
EMERGENCY = -3.5  # m/s^2: who needs more does not wait for its reaction lag
NUM_NOISE = 2  # normal numbers that each road user takes in a step
_PEDESTRIAN = 2


@njit(cache=True, error_model="numpy")
def step(agents, traits, net, order, tick, noise, shown, walks, first_walk, driven):
    """Advance everybody who is driven by this law by 0.1 s.

    Args:
        agents: float64 ``[N, NUM_STATE]``, updated.
        traits: float64 ``[N, NUM_TRAITS]``.
        net: `Network.tables`.
        order: int8 ``[N, N]``, who goes first; updated.
        tick: Number of the step, for when drivers think about changing lane.
        noise: float64 ``[N, NUM_NOISE]``, standard normal.
        shown: `SignalState` of each signal, int8 ``[S]``.
        walks: Signal of each pedestrian way, int8; see `giving_way.wait_at_kerb`.
        first_walk: Number of the first pedestrian way.
        driven: bool ``[N]``; the others stay as they are.
    """
    points, start, stops, stop_start = net[0], net[1], net[4], net[5]
    num = len(agents)
    decided = np.empty(num)
    gap_to_line = np.full(num, FAR)
    for i in range(num):
        route = int(agents[i, ROUTE])
        if traits[i, KIND] == _PEDESTRIAN:
            wait_at_kerb(agents[i], traits[i], walks[route - first_walk])
        elif agents[i, PRESENT] != 0:
            own_stops = stops[stop_start[route] : stop_start[route + 1]]
            gap_to_line[i] = obey_lines(i, agents, traits, own_stops, shown)
    change_lanes(agents, traits, net, tick, driven)
    decide_order(agents, traits, net, order)
    set_out(agents, traits, net)
    for i in range(num):
        own, mine, route = agents[i], traits[i], int(agents[i, ROUTE])
        if own[PRESENT] == 0:
            continue
        if mine[KIND] == _PEDESTRIAN:
            decided[i] = 2.0 * (mine[TOP_SPEED] * own[WALKING] - own[SPEED])
            continue
        way = points[start[route] : start[route + 1]]
        desired = desired_speed(way, own[S] + 0.3 * own[SPEED], mine)
        gap, lead_speed, _ = leader(i, agents, traits, way)
        wish = idm(own[SPEED], gap, lead_speed, desired, mine)
        if gap_to_line[i] < FAR:
            wish = min(wish, idm(own[SPEED], stop_gap(gap_to_line[i], mine), 0.0, desired, mine))
        decided[i] = min(wish, yield_to_others(i, agents, traits, net, order, desired))
    for i in range(num):
        if agents[i, PRESENT] != 0 and driven[i]:
            route = int(agents[i, ROUTE])
            _move(agents[i], traits[i], points[start[route] : start[route + 1]], decided[i], noise[i])


@njit(cache=True, error_model="numpy")
def _move(own, traits, way, decided, noise):
    """Carry out what was decided `LAG` steps ago, with noise."""
    lag = int(traits[LAG])
    for k in range(MAX_LAG - 1, 0, -1):
        own[LAST + k] = own[LAST + k - 1]
    own[LAST] = decided
    wish = min(own[LAST + lag], decided) if decided < EMERGENCY else own[LAST + lag]
    own[NOISE] += -own[NOISE] * DT / NOISE_S + traits[NOISE_STD] * np.sqrt(2.0 * DT / NOISE_S) * noise[0]
    own[DRIFT] += -own[DRIFT] * DT / DRIFT_S + traits[WANDER_STD] * np.sqrt(2.0 * DT / DRIFT_S) * noise[1]
    speed = own[SPEED]
    a = min(max(wish + own[NOISE] * min(speed / 3.0, 1.0), HARDEST), traits[MAX_ACCELERATION] + 0.5)
    a = max(a, -speed / DT)
    if speed + a * DT < 0.02:
        a = -speed / DT
    own[ACCELERATION], own[SPEED] = a, speed + a * DT
    own[WAIT] = own[WAIT] + DT if own[SPEED] < STANDING else 0.0
    moving = 0.5 * (speed + own[SPEED])
    if traits[KIND] == _PEDESTRIAN:
        _walk(own, traits, way, moving)
    else:
        _drive(own, traits, way, moving)
    if own[S] > (len(way) - 1) * SPACING - 1.0 - (0.5 - AXLE) * traits[LENGTH] and traits[KIND] != _PEDESTRIAN:
        own[PRESENT] = 0


@njit(cache=True, error_model="numpy")
def _wander(own, traits, moving):
    """Where in the lane the road user is, m to the left of the route; only who moves moves sideways."""
    own[WANDER] += (own[DRIFT] + traits[SIDE] - own[WANDER]) * DT / SMOOTH_S * min(moving / 5.0, 1.0)
    return own[WANDER]


@njit(cache=True, error_model="numpy")
def _drive(own, traits, way, moving):
    """Front axle along the route, rear axle after it."""
    if moving <= 0.0:
        return
    base = 2.0 * AXLE * traits[LENGTH]
    cos, sin = np.cos(own[YAW]), np.sin(own[YAW])
    rear_x, rear_y = own[X] - 0.5 * base * cos, own[Y] - 0.5 * base * sin
    k = min(max(int(own[S] / SPACING), 0), len(way) - 1)
    bend = way[k, PCURVATURE]
    _, _, course = pose_at(way, own[S], 0.0)
    steering = max(np.cos(course - own[YAW]), 0.7)
    own[S] += moving * DT / steering / max(1.0 - bend * own[D], 0.5)
    goal = lateral_goal(own, traits[CHANGE_TIME])
    own[D] = goal + _wander(own, traits, moving)
    # The rear axle cuts corners: the front one swings out, so that the box stays in the middle of the lane.
    k = min(max(int(own[S] / SPACING), 0), len(way) - 1)
    swing = way[k, PCURVATURE] * base * base / 4.0
    x, y, _ = pose_at(way, own[S], own[D] - swing)
    long = np.hypot(x - rear_x, y - rear_y)
    cos, sin = (x - rear_x) / long, (y - rear_y) / long
    own[X], own[Y], own[YAW] = x - 0.5 * base * cos, y - 0.5 * base * sin, np.arctan2(sin, cos)


@njit(cache=True, error_model="numpy")
def _walk(own, traits, way, moving):
    """Straight on, a little to the left and right."""
    length = (len(way) - 1) * SPACING
    if own[WALKING] != 0 and own[S] > length - 0.5 * own[SPEED]:
        own[WALKING], own[PROGRESS] = 0.0, 1.0
    if moving <= 0.0:
        return
    own[S] += moving * DT
    was = own[D]
    own[D] = _wander(own, traits, 5.0 * moving)
    own[X], own[Y], course = pose_at(way, own[S], own[D])
    own[YAW] = course + np.arctan2(own[D] - was, max(moving * DT, 0.02))
