# mypy: allow-untyped-defs
"""Along the route: who is ahead, and how hard to accelerate."""

from __future__ import annotations

import numpy as np
from numba import njit

from trafficgym_scenarios.nominal.columns import (
    AXLE,
    BRAKING,
    FAR,
    HEADWAY,
    LENGTH,
    MAX_ACCELERATION,
    PRESENT,
    PSPEED,
    PX,
    PY,
    PYAW,
    ROUTE,
    SPACING,
    SPEED,
    SPEED_FACTOR,
    STANDSTILL_GAP,
    TOP_SPEED,
    WIDTH,
    YAW,
    D,
    S,
    X,
    Y,
)

SIDE_ROOM = 0.2  # m on either side of the own way
BEHIND = 70.0  # m that a driver looks back before changing lane


@njit(cache=True, error_model="numpy", inline="always")
def idm(speed, gap, lead_speed, desired, traits):
    """Acceleration in m/s^2 of the intelligent driver model (Treiber, Hennecke and Helbing 2000, eqs. 3 and 4).

    Args:
        gap: Bumper to bumper [m], `FAR` on a free road.
        desired: Desired speed here [m/s].
        traits: Row of the driver.
    """
    a, b = traits[MAX_ACCELERATION], traits[BRAKING]
    # Faster than desired: no harder than comfortable braking, which eq. 3 alone would exceed.
    free = max(a * (1.0 - (speed / desired) ** 4), -b)
    if gap >= FAR:
        return free
    wanted = traits[STANDSTILL_GAP] + max(
        0.0, speed * traits[HEADWAY] + speed * (speed - lead_speed) / (2.0 * np.sqrt(a * b))
    )
    ratio = wanted / max(gap, 0.1)
    return free - a * ratio * ratio


@njit(cache=True, error_model="numpy", inline="always")
def front(agent, traits):
    """Front bumper, m along the route."""
    return agent[S] + (0.5 - AXLE) * traits[LENGTH]


@njit(cache=True, error_model="numpy", inline="always")
def rear(agent, traits):
    """Rear bumper, m along the route."""
    return agent[S] - (0.5 + AXLE) * traits[LENGTH]


@njit(cache=True, error_model="numpy", inline="always")
def desired_speed(points, s, traits):
    """Desired speed at `s`, m/s."""
    k = min(max(int(s / SPACING), 0), len(points) - 1)
    return max(min(points[k, PSPEED] * traits[SPEED_FACTOR], traits[TOP_SPEED]), 1.0)


@njit(cache=True, error_model="numpy")
def pose_at(points, s, d):
    """x, y and direction at (s, d) of a route, which goes straight on beyond its ends."""
    k = min(max(int(s / SPACING), 0), len(points) - 2)
    u = s / SPACING - k
    w = min(max(u, 0.0), 1.0)
    yaw = points[k, PYAW] + w * (points[k + 1, PYAW] - points[k, PYAW])
    x = points[k, PX] + u * (points[k + 1, PX] - points[k, PX])
    y = points[k, PY] + u * (points[k + 1, PY] - points[k, PY])
    return x - d * np.sin(yaw), y + d * np.cos(yaw), yaw


@njit(cache=True, error_model="numpy")
def project(points, low, high, x, y):
    """The (s, d) of the nearest place on a route between `low` and `high` m, and the route's direction there."""
    first = min(max(int(low / SPACING), 0), len(points) - 1)
    last = min(max(int(high / SPACING) + 1, first), len(points) - 1)
    best, at = 1e18, first
    for k in range(first, last + 1, 8):
        dx, dy = points[k, PX] - x, points[k, PY] - y
        away = dx * dx + dy * dy
        if away < best:
            best, at = away, k
    for k in range(max(first, at - 7), min(last, at + 7) + 1):
        dx, dy = points[k, PX] - x, points[k, PY] - y
        away = dx * dx + dy * dy
        if away < best:
            best, at = away, k
    yaw = points[at, PYAW]
    dx, dy = x - points[at, PX], y - points[at, PY]
    cos, sin = np.cos(yaw), np.sin(yaw)
    return at * SPACING + dx * cos + dy * sin, dy * cos - dx * sin, yaw


@njit(cache=True, error_model="numpy")
def _in_corridor(j, agents, traits, points, low, high, right, left):
    """Whether box j reaches into a strip along a route, and then from where to where [m], and its speed along it.

    Args:
        low: and high: the stretch of the route [m].
        right: and left: the strip's sides, m to the left of the route.
    """
    agent = agents[j]
    long, wide = 0.5 * traits[j, LENGTH], 0.5 * traits[j, WIDTH]
    s, d, yaw = project(points, low, high, agent[X], agent[Y])
    turned = agent[YAW] - yaw
    cos, sin = np.cos(turned), np.sin(turned)
    begin, end = FAR, -FAR
    parts = 3 if abs(sin) > 0.1 and long > 1.5 else 1
    for part in range(parts):
        if parts > 1:
            along = (part - 1) * long * 2.0 / 3.0
            x, y = agent[X] + along * np.cos(agent[YAW]), agent[Y] + along * np.sin(agent[YAW])
            s, d, yaw = project(points, low, high, x, y)
            cos, sin = np.cos(agent[YAW] - yaw), np.sin(agent[YAW] - yaw)
        half = long / parts
        reach = half * abs(cos) + wide * abs(sin)
        aside = half * abs(sin) + wide * abs(cos)
        if d - aside < left and d + aside > right and low - reach < s < high + reach:
            begin, end = min(begin, s - reach), max(end, s + reach)
    return begin, end, agent[SPEED] * np.cos(turned)


@njit(cache=True, error_model="numpy")
def leader(i, agents, traits, points):
    """The nearest box on the way of i: gap [m] (`FAR` for none), its speed along the way, and its number or -1."""
    own = agents[i]
    ahead = front(own, traits[i])
    middle = own[S] - AXLE * traits[i, LENGTH]
    horizon = min(15.0 + 5.0 * own[SPEED], 150.0)
    half = 0.5 * traits[i, WIDTH] + SIDE_ROOM
    right, left = min(own[D], 0.0) - half, max(own[D], 0.0) + half
    best, best_speed, who = FAR, 0.0, -1
    for j in range(len(agents)):
        other = agents[j]
        if j == i or other[PRESENT] == 0:
            continue
        dx, dy = other[X] - own[X], other[Y] - own[Y]
        reach = horizon + traits[j, LENGTH]
        if dx * dx + dy * dy > reach * reach:
            continue
        if other[ROUTE] == own[ROUTE]:
            its_middle = other[S] - AXLE * traits[j, LENGTH]
            if its_middle <= middle:
                continue
            gap, speed = rear(other, traits[j]) - ahead, other[SPEED]
        else:
            begin, end, speed = _in_corridor(j, agents, traits, points, middle, ahead + horizon, right, left)
            if begin >= FAR or 0.5 * (begin + end) <= middle:
                continue
            gap = begin - ahead
        if gap < best:
            best, best_speed, who = gap, speed, j
    return best, best_speed, who


@njit(cache=True, error_model="numpy")
def neighbours(i, agents, traits, points, s):
    """Who is ahead of and behind i, were its centre at `s` m of a route.

    Returns:
        Gap ahead [m], that one's speed, gap behind, and the number of who is behind (-1 for none).
    """
    own, half = agents[i], 0.5 * traits[i, LENGTH]
    lead_gap, lead_speed, rear_gap, follower = FAR, 0.0, FAR, -1
    for j in range(len(agents)):
        other = agents[j]
        if j == i or other[PRESENT] == 0:
            continue
        dx, dy = other[X] - own[X], other[Y] - own[Y]
        if dx * dx + dy * dy > 150.0**2:
            continue
        begin, end, speed = _in_corridor(j, agents, traits, points, s - BEHIND, s + 140.0, -1.3, 1.3)
        if begin >= FAR:
            continue
        if 0.5 * (begin + end) > s:
            if begin - s - half < lead_gap:
                lead_gap, lead_speed = begin - s - half, speed
        elif s - half - end < rear_gap:
            rear_gap, follower = s - half - end, j
    return lead_gap, lead_speed, rear_gap, follower
