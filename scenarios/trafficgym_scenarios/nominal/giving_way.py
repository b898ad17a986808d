# mypy: allow-untyped-defs
"""Where routes meet: who goes first, and what that asks of the others; signals, stop signs and crosswalks."""

from __future__ import annotations

import numpy as np
from numba import njit

from trafficgym_scenarios.nominal.columns import (
    BLOCK,
    CROSSING,
    FAR,
    FIRST,
    GAP_MARGIN,
    HOLD_A,
    IN_A,
    IN_B,
    KIND,
    MAX_ACCELERATION,
    MEETING,
    OUT_A,
    OUT_B,
    POLITENESS,
    PRESENT,
    PROGRESS,
    ROUTE,
    SIGNAL_RULE,
    SPEED,
    STANDSTILL_GAP,
    STOP_RULE,
    STOP_S,
    STOP_SIGNAL,
    STOPPED,
    TOP_SPEED,
    WAIT,
    WALKING,
    YIELD_RULE,
    ZIPPER,
    S,
)
from trafficgym_scenarios.nominal.following import desired_speed, front, idm, rear

HARD = 4.5  # m/s^2: who would need more to stop goes on
YELLOW = 3.0  # m/s^2: who would need more to stop passes at yellow
STANDING = 0.3  # m/s
LOOK_S, LOOK_M = 7.0, 30.0  # how far ahead meeting places matter
ZIPPER_S = 6.0
PATIENCE = 3.0  # s of standing still until one goes before another who stands
RUDE = 0.15  # politeness below which nobody stops for pedestrians that wait
SOFT = -3.0  # m/s^2, for who is let in
HARD_LET_IN = -5.0  # m/s^2, the same at the last moment
EASE = 0.12  # m of the gap that may still be missing for each m to where lanes merge
_PEDESTRIAN = 2
_STOP, _ARROW_STOP, _CAUTION, _ARROW_CAUTION = 4, 1, 5, 2


@njit(cache=True, error_model="numpy")
def obey_lines(i, agents, traits, stops, shown):
    """Gap to the line at which a signal or a stop sign holds i [m], `FAR` for none; keeps `STOPPED` and `BLOCK`.

    Args:
        stops: Lines of its route.
        shown: `SignalState` of each signal.
    """
    own = agents[i]
    own[BLOCK] = FAR
    bumper, speed = front(own, traits[i]), own[SPEED]
    for k in range(len(stops)):
        gap, rule = stops[k, STOP_S] - bumper, int(stops[k, STOP_RULE])
        if gap < -0.3 or rule == YIELD_RULE:
            continue
        if rule == SIGNAL_RULE:
            state = shown[int(stops[k, STOP_SIGNAL])]
            red = state == _STOP or state == _ARROW_STOP
            yellow = state == _CAUTION or state == _ARROW_CAUTION
            needed = speed * speed / (2.0 * max(gap, 0.1))
            held = (red and (needed < 7.0 or speed < 2.0)) or (yellow and needed < YELLOW)
        else:
            if speed < STANDING and gap < 3.5:
                own[STOPPED] = k + 1
            held = own[STOPPED] != k + 1
        if held:
            own[BLOCK] = stops[k, STOP_S]
            return gap
        if gap > LOOK_M + LOOK_S * speed:
            break
    return FAR


@njit(cache=True, error_model="numpy")
def _time_to(distance, speed, acceleration, fastest):
    """Seconds to cover `distance` m when accelerating up to `fastest`."""
    if distance <= 0:
        return 0.0
    fastest = max(fastest, speed)
    to_fastest = (fastest * fastest - speed * speed) / (2.0 * acceleration)
    if distance <= to_fastest:
        return (-speed + np.sqrt(speed * speed + 2.0 * acceleration * distance)) / acceleration
    return (fastest - speed) / acceleration + (distance - to_fastest) / fastest


@njit(cache=True, error_model="numpy")
def _view(agent, traits, into, hold, meeting):
    """How somebody stands to a meeting place: m to it, whether it is committed to it, and whether it is held before."""
    bumper, speed = front(agent, traits), agent[SPEED]
    distance = into - bumper
    if traits[KIND] == _PEDESTRIAN:
        return distance, agent[WALKING] != 0, agent[BLOCK] < FAR
    blocked = agent[BLOCK] < into + 1.0
    if meeting == ZIPPER:
        return distance, distance < 0, blocked
    room = hold - bumper
    stuck = speed * speed > 2.0 * HARD * max(room - 0.1 * speed, 0.01)
    return distance, room < -0.6 or (stuck and not blocked), blocked


@njit(cache=True, error_model="numpy")
def _can_go_before(own, mine, its, it, points, zone, swapped, margin):
    """Whether `own` can be through (or in, where routes merge) early enough not to bother `its`."""
    out_own, in_other, out_other = (
        (zone[OUT_B], zone[IN_A], zone[OUT_A]) if swapped else (zone[OUT_A], zone[IN_B], zone[OUT_B])
    )
    a = 0.8 * mine[MAX_ACCELERATION]
    fastest = desired_speed(points, out_own, mine)
    if zone[MEETING] == CROSSING:
        mine_clear = _time_to(out_own - rear(own, mine), own[SPEED], a, fastest)
        its_arrival = _time_to(in_other - front(its, it), its[SPEED], 1.0, its[SPEED] + 2.0)
        return mine_clear + margin < its_arrival
    way = out_own - front(own, mine)
    mine_in = _time_to(way, own[SPEED], a, fastest)
    then = min(np.sqrt(own[SPEED] ** 2 + 2.0 * a * max(way, 0.0)), fastest)
    its_arrival = _time_to(out_other - front(its, it), its[SPEED], 1.0, its[SPEED] + 1.0)
    return mine_in + margin + max(its[SPEED] - then, 0.0) / 3.0 + 1.0 < its_arrival


@njit(cache=True, error_model="numpy")
def decide_order(agents, traits, net, order):
    """Settle who goes first where routes meet.

    Args:
        order: int8 ``[N, N]``, 1 where the first goes before the second, -1 where after, 0 where nothing is to be
            settled; from the step before, updated.
    """
    points, start, zones, zone_start = net[0], net[1], net[6], net[7]
    num = len(start) - 1
    for i in range(len(agents)):
        for j in range(i + 1, len(agents)):
            before, now = order[i, j], 0
            if agents[i, PRESENT] != 0 and agents[j, PRESENT] != 0:
                a, b = int(agents[i, ROUTE]), int(agents[j, ROUTE])
                for z in range(zone_start[a * num + b], zone_start[a * num + b + 1]):
                    back = _mirror(zones, zone_start[b * num + a], zone_start[b * num + a + 1], zones[z])
                    if rear(agents[i], traits[i]) > zones[z, OUT_A] or rear(agents[j], traits[j]) > zones[z, OUT_B]:
                        continue
                    one, other = points[start[a] : start[a + 1]], points[start[b] : start[b + 1]]
                    now = _first(i, j, agents, traits, one, other, zones[z], back, before)
                    break
            order[i, j], order[j, i] = now, -now


@njit(cache=True, error_model="numpy")
def _mirror(zones, begin, end, zone):
    """Where the second of the two holds for the same meeting place."""
    for z in range(begin, end):
        if zones[z, IN_B] == zone[IN_A] and zones[z, IN_A] == zone[IN_B]:
            return zones[z, HOLD_A]
    return zone[IN_B] - 1.0


@njit(cache=True, error_model="numpy")
def _first(i, j, agents, traits, points_i, points_j, zone, hold_j, before):
    """Entry of `order` for one pair and the first place at which they still meet."""
    own, its, mine, it = agents[i], agents[j], traits[i], traits[j]
    meeting = int(zone[MEETING])
    di, in_i, blocked_i = _view(own, mine, zone[IN_A], zone[HOLD_A], meeting)
    dj, in_j, blocked_j = _view(its, it, zone[IN_B], hold_j, meeting)
    if in_i != in_j:
        return 1 if in_i else -1
    if in_i:
        if before != 0:
            return before
        return 1 if di * max(its[SPEED], 0.5) <= dj * max(own[SPEED], 0.5) else -1
    if blocked_i or blocked_j:
        return 0 if blocked_i and blocked_j else (-1 if blocked_i else 1)
    look = ZIPPER_S if meeting == ZIPPER else LOOK_S
    if di > LOOK_M + look * own[SPEED] or dj > LOOK_M + look * its[SPEED]:
        return 0
    stands_i, stands_j = own[SPEED] < STANDING, its[SPEED] < STANDING
    if stands_i and stands_j and max(own[WAIT], its[WAIT]) > PATIENCE:
        return 1 if own[WAIT] >= its[WAIT] else -1
    if meeting == ZIPPER:
        # Whoever comes first, with a head start for the through lane; both keep to it.
        lead = dj / max(its[SPEED], 3.0) - di / max(own[SPEED], 3.0) + 0.2 * zone[FIRST]
        if before != 0 and lead * before > -1.0:
            return before
        return 1 if lead >= 0 else -1
    return _by_right(own, mine, di, its, it, dj, points_i, points_j, zone, before)


@njit(cache=True, error_model="numpy")
def _by_right(own, mine, di, its, it, dj, points_i, points_j, zone, before):
    """The same where nobody is committed: right of way, who comes first, and gaps that are long enough."""
    right = zone[FIRST]
    if right < 0 and it[KIND] == _PEDESTRIAN and mine[POLITENESS] < RUDE:
        return 1
    if right > 0 and mine[KIND] == _PEDESTRIAN and it[POLITENESS] < RUDE:
        return -1
    if right == 0:
        ti = _time_to(di, own[SPEED], 1.5, own[SPEED] + 3.0) - 2.0 * own[WAIT]
        tj = _time_to(dj, its[SPEED], 1.5, its[SPEED] + 3.0) - 2.0 * its[WAIT]
        if before != 0 and abs(ti - tj) < 1.5:
            return before
        return 1 if ti <= tj else -1
    # Whoever has to yield may still go first into a gap that is long enough, and keeps it with less.
    if right > 0:
        margin = it[GAP_MARGIN] * (0.5 if before < 0 else 1.0)
        return -1 if _can_go_before(its, it, own, mine, points_j, zone, True, margin) else 1
    margin = mine[GAP_MARGIN] * (0.5 if before > 0 else 1.0)
    return 1 if _can_go_before(own, mine, its, it, points_i, zone, False, margin) else -1


@njit(cache=True, error_model="numpy")
def yield_to_others(i, agents, traits, net, order, desired):
    """Acceleration that giving way leaves i, m/s^2, `FAR` where it asks for nothing."""
    start, zones, zone_start = net[1], net[6], net[7]
    own, mine = agents[i], traits[i]
    num, a = len(start) - 1, int(own[ROUTE])
    bumper, speed = front(own, mine), own[SPEED]
    least = FAR
    for j in range(len(agents)):
        if order[i, j] >= 0:
            continue
        its, it = agents[j], traits[j]
        b = int(its[ROUTE])
        for z in range(zone_start[a * num + b], zone_start[a * num + b + 1]):
            zone = zones[z]
            its_rear = rear(its, it)
            if its_rear > zone[OUT_B] or bumper > zone[OUT_A] or rear(own, mine) > zone[OUT_A]:
                continue
            gap = zone[IN_A] - bumper
            if gap > LOOK_M + LOOK_S * speed:
                continue
            if zone[MEETING] != CROSSING:
                behind = gap + its_rear - zone[IN_B]  # to its tail, had it driven on the own route
                if zone[MEETING] == ZIPPER:
                    room = max(behind + EASE * max(gap, 0.0), 0.5)
                    least = min(
                        least, max(idm(speed, room, its[SPEED], desired, mine), SOFT if gap > 10.0 else HARD_LET_IN)
                    )
                    continue
                if behind > 0.5 and front(its, it) > zone[IN_B]:
                    least = min(least, idm(speed, behind, its[SPEED], desired, mine))
                    continue
            else:
                its_clear = (zone[OUT_B] - its_rear) / max(its[SPEED], 0.3)
                if its_clear + 0.7 < gap / max(speed, 0.5):
                    continue
            stop = zone[HOLD_A] - bumper
            if stop < -0.6:
                stop = gap - 0.5
            if stop > -0.6 or gap > -0.6:
                least = min(least, idm(speed, stop_gap(stop, mine), 0.0, desired, mine))
    return least


@njit(cache=True, error_model="numpy", inline="always")
def stop_gap(distance, traits):
    """Gap for the driver model that makes the front bumper stop 0.3 m before a place `distance` m ahead."""
    return max(distance + traits[STANDSTILL_GAP] - 0.3, 0.1)


@njit(cache=True, error_model="numpy")
def wait_at_kerb(own, mine, walk):
    """Keep `BLOCK` of a pedestrian: `FAR` for who crosses or wants to, 0 for who does not, or may not.

    Args:
        walk: 1 if its signal lets pedestrians go, 0 if not, -1 where there is no signal.
    """
    wants = own[WALKING] != 0 or (own[PROGRESS] < 1.0 and walk != 0 and own[WAIT] >= mine[GAP_MARGIN])
    own[BLOCK] = FAR if wants else 0.0


@njit(cache=True, error_model="numpy")
def set_out(agents, traits, net):
    """Let pedestrians that want to cross begin, when whoever comes can stop."""
    start, zones, zone_start = net[1], net[6], net[7]
    num = len(start) - 1
    for i in range(len(agents)):
        own, mine = agents[i], traits[i]
        if own[PRESENT] == 0 or mine[KIND] != _PEDESTRIAN or own[WALKING] != 0 or own[BLOCK] < FAR:
            continue
        a = int(own[ROUTE])
        clear = True
        for j in range(len(agents)):
            if agents[j, PRESENT] == 0 or traits[j, KIND] == _PEDESTRIAN:
                continue
            b = int(agents[j, ROUTE])
            for z in range(zone_start[a * num + b], zone_start[a * num + b + 1]):
                clear = clear and _lets_walk(own, mine, agents[j], traits[j], zones, zone_start, num, a, b, z)
        if clear:
            own[WALKING] = 1


@njit(cache=True, error_model="numpy")
def _lets_walk(own, mine, its, it, zones, zone_start, num, a, b, z):
    """Whether a driver is past the crosswalk, or comes late enough, or can easily stop before it."""
    zone = zones[z]
    if rear(its, it) > zone[OUT_B] + 0.5:
        return True
    hold = _mirror(zones, zone_start[b * num + a], zone_start[b * num + a + 1], zone)
    bumper, speed = front(its, it), its[SPEED]
    if its[BLOCK] < zone[IN_B]:
        return True
    arrival = _time_to(zone[IN_B] - bumper, speed, 1.5, speed + 4.0)
    if arrival > (zone[OUT_A] - own[S]) / mine[TOP_SPEED] + 1.5:
        return True
    if speed < STANDING:
        return bumper < hold + 0.5
    room = hold - bumper - 0.8 * speed
    return room > 0.2 and speed * speed < 2.0 * 1.8 * room
