# mypy: allow-untyped-defs
"""Lane changes by MOBIL (Kesting, Treiber and Helbing, Transportation Research Record 1999, 2007)."""

from __future__ import annotations

import numpy as np
from numba import njit

from trafficgym_scenarios.nominal.columns import (
    AXLE,
    CHANGE_TIME,
    COOLDOWN,
    DT,
    FAR,
    FROM,
    KIND,
    LENGTH,
    POLITENESS,
    PRESENT,
    PROGRESS,
    ROUTE,
    SAFE_BRAKING,
    SPACING,
    SPEED,
    STOP_S,
    THRESHOLD,
    WANDER,
    D,
    S,
)
from trafficgym_scenarios.nominal.following import desired_speed, idm, neighbours, pose_at, project

EVERY = 10  # steps between two thoughts about changing
SLOWEST = 6.0  # m/s, below it nobody changes lane
COOL = 5.0  # s from one change to the next
STOP_ROOM = 60.0  # m before a stop line without changes
LANE = (2.4, 4.6)  # m between this lane and the next
_VEHICLE = 1


@njit(cache=True, error_model="numpy")
def change_lanes(agents, traits, net, tick, driven):
    """Begin the lane changes that pay and are safe; one driver after the other, each a second apart."""
    points, start, left, right, stops, stop_start = net[:6]
    for i in range(len(agents)):
        own = agents[i]
        own[COOLDOWN] = max(own[COOLDOWN] - DT, 0.0)
        if not driven[i] or own[PRESENT] == 0 or traits[i, KIND] != _VEHICLE or (tick + 3 * i) % EVERY != 0:
            continue
        if own[PROGRESS] < 1.0 or own[COOLDOWN] > 0.0 or own[SPEED] < SLOWEST:
            continue
        route = int(own[ROUTE])
        if _is_near_stop(own, stops[stop_start[route] : stop_start[route + 1]]):
            continue
        best, target, best_s, best_d = 0.0, -1, 0.0, 0.0
        for other in (left[route], right[route]):
            if other < 0:
                continue
            gain, s, d = _gain(i, other, agents, traits, points, start)
            if gain > best:
                best, target, best_s, best_d = gain, other, s, d
        if target >= 0:
            own[ROUTE], own[S], own[D], own[FROM] = target, best_s, best_d, best_d - own[WANDER]
            own[PROGRESS], own[COOLDOWN] = 0.0, COOL + traits[i, CHANGE_TIME]


@njit(cache=True, error_model="numpy")
def _is_near_stop(own, stops):
    ahead = stops[:, STOP_S] - own[S]
    return ((ahead > -25.0) & (ahead < STOP_ROOM)).any()


@njit(cache=True, error_model="numpy")
def _gain(i, other, agents, traits, points, start):
    """What a change to the route `other` gains beyond the threshold [m/s^2], 0 if it cannot be; and (s, d) there."""
    own, mine = agents[i], traits[i]
    here, there = (
        points[start[int(own[ROUTE])] : start[int(own[ROUTE]) + 1]],
        points[start[other] : start[other + 1]],
    )
    x, y, _ = pose_at(here, own[S], own[D])
    s, d, _ = project(there, 0.0, FAR, x, y)
    if not LANE[0] < abs(d) < LANE[1]:
        return 0.0, s, d
    # The lanes must stay side by side until well after the change.
    for k in range(1, 4):
        further = own[S] + own[SPEED] * (mine[CHANGE_TIME] + 2.0) * k / 3.0
        if further >= (len(here) - 2) * SPACING:
            return 0.0, s, d
        x, y, yaw = pose_at(here, further, 0.0)
        its_s, its_d, its_yaw = project(there, s, s + 250.0, x, y)
        if (
            not LANE[0] < abs(its_d) < LANE[1]
            or abs(np.sin(yaw - its_yaw)) > 0.1
            or its_s >= (len(there) - 2) * SPACING
        ):
            return 0.0, s, d
    behind_axle = AXLE * mine[LENGTH]
    gap, lead_speed, rear_gap, follower = neighbours(i, agents, traits, there, s - behind_axle)
    old_gap, old_speed, old_rear, old_follower = neighbours(i, agents, traits, here, own[S] - behind_axle)
    if gap < 3.0 + 0.3 * own[SPEED] or rear_gap < 3.0 or _is_wanted(i, other, agents, traits, points, start, s):
        return 0.0, s, d
    speed = own[SPEED]
    new = idm(speed, gap, lead_speed, desired_speed(there, s, mine), mine)
    old = idm(speed, old_gap, old_speed, desired_speed(here, own[S], mine), mine)
    others = 0.0
    if new < -mine[SAFE_BRAKING]:
        return 0.0, s, d
    if follower >= 0:
        its, it = agents[follower], traits[follower]
        wish = desired_speed(there, max(s - 10.0, 0.0), it)
        after = idm(its[SPEED], rear_gap, speed, wish, it)
        if after < -mine[SAFE_BRAKING]:
            return 0.0, s, d
        free = gap + rear_gap + mine[LENGTH] if gap < FAR else FAR
        others += after - idm(its[SPEED], free, lead_speed, wish, it)
    if old_follower >= 0:
        its, it = agents[old_follower], traits[old_follower]
        wish = desired_speed(here, max(own[S] - 10.0, 0.0), it)
        free = old_gap + old_rear + mine[LENGTH] if old_gap < FAR else FAR
        others += idm(its[SPEED], free, old_speed, wish, it) - idm(its[SPEED], old_rear, speed, wish, it)
    return max(new - old + mine[POLITENESS] * others - mine[THRESHOLD], 0.0), s, d


@njit(cache=True, error_model="numpy")
def _is_wanted(i, route, agents, traits, points, start, s):
    """Whether somebody who is still on his way into that lane will be beside i."""
    table = points[start[route] : start[route + 1]]
    for j in range(len(agents)):
        if j == i or agents[j, PRESENT] == 0 or agents[j, PROGRESS] >= 1.0 or traits[j, KIND] != _VEHICLE:
            continue
        its = int(agents[j, ROUTE])
        x, y, _ = pose_at(points[start[its] : start[its + 1]], agents[j, S], 0.0)
        its_s, its_d, _ = project(table, s - 60.0, s + 60.0, x, y)
        room = 0.8 * (traits[i, LENGTH] + traits[j, LENGTH]) + 10.0
        if abs(its_d) < 2.0 and abs(its_s - s) < room:
            return True
    return False


@njit(cache=True, error_model="numpy")
def lateral_goal(own, change_time):
    """Where a lane change has the driver now, m to the left of its route; advances it."""
    if own[PROGRESS] >= 1.0:
        return 0.0
    own[PROGRESS] = min(own[PROGRESS] + DT / change_time * min(own[SPEED] / 5.0, 1.0), 1.0)
    u = own[PROGRESS]
    return own[FROM] * (1.0 - u**3 * (10.0 - 15.0 * u + 6.0 * u * u))
