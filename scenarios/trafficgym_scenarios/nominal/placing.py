# mypy: allow-untyped-defs
"""Where road users begin: on a route, at a speed at which they can stop for what is ahead."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym_scenarios.nominal import columns as c
from trafficgym_scenarios.nominal.columns import (
    AXLE,
    BRAKING,
    CROSSING,
    FAR,
    FIRST,
    HEADWAY,
    HOLD_A,
    IN_A,
    LENGTH,
    MEETING,
    OUT_A,
    PCURVATURE,
    PRESENT,
    PROGRESS,
    ROUTE,
    SIDE,
    SPACING,
    SPEED,
    STANDSTILL_GAP,
    STOP_S,
    WANDER,
    YAW,
    D,
    S,
    X,
    Y,
)
from trafficgym_scenarios.nominal.config import NominalConfig
from trafficgym_scenarios.nominal.drivers import sample_cyclist, sample_pedestrian, sample_vehicle
from trafficgym_scenarios.nominal.following import desired_speed, front, leader, pose_at, rear
from trafficgym_scenarios.nominal.network import SIDEWALK, Network
from trafficgym_scenarios.roads import Road

Array = NDArray[np.float64]

TRIES = 6  # for each road user
WIDER, WIDEST = 15.0, 600.0  # m: how the area grows in which road users begin
PLACES = 16  # tried on each route
FREEWAY = 20.0  # m/s, limit from which a road is one
SLOW = 18.0  # m/s, limit up to which cyclists ride
KEENEST = 1.22  # of the speed limit: faster drives nobody
STEEPEST = 0.32  # rad, steering that a truck may need
SLOTS = (-0.9, 0.0, 0.9)  # m to the left of a crosswalk's middle: where pedestrians walk without meeting


class Placed(NamedTuple):
    """Who begins where."""

    agents: Array  # (N, NUM_STATE)
    traits: Array  # (N, NUM_TRAITS)


def place(road: Road, net: Network, config: NominalConfig, duration: float, rng: Generator) -> Placed:
    """Draw road users around one place of the road; there may be fewer than were wanted.

    Args:
        duration: s that follow; vehicles begin where their route goes on for that long.
    """
    num = config.num_agents.draw_whole(rng)
    routes = list(road.routes.values())
    walkers = min(round(num * config.pedestrians.draw(rng)), len(net.walks) // 2 * len(SLOTS)) if net.walks else 0
    slow = [r for r, route in enumerate(routes) if route.speed_limit <= SLOW]
    cyclists = round(num * config.cyclists.draw(rng)) if slow else 0
    trucks = config.trucks.draw(rng)
    agents, traits = np.zeros((num, c.NUM_STATE)), np.zeros((num, c.NUM_TRAITS))
    placing = _Placing(road, net, agents, traits, duration, rng)
    placing.focus_on(config.spacing.draw(rng) * num)
    for k in range(num):
        if k < walkers:
            placing.walker()
        else:
            cyclist, truck = k < walkers + cyclists, rng.random() < trucks
            among = slow if cyclist else list(range(len(routes)))
            while not placing.vehicle(among, truck=truck, cyclist=cyclist) and placing.radius < WIDEST:
                placing.radius += WIDER
    order = rng.permutation(placing.count)
    return Placed(agents[order], traits[order])


class _Placing:
    def __init__(self, road: Road, net: Network, agents: Array, traits: Array, duration: float, rng: Generator) -> None:
        self.net, self.agents, self.traits, self.duration, self.rng = net, agents, traits, duration, rng
        self.routes = list(road.routes.values())
        self.count = 0
        self.free = [(walk, slot) for walk in range(len(net.walks)) for slot in range(len(SLOTS))]
        self.focus, self.radius = np.zeros(2), FAR

    def focus_on(self, lane_length: float) -> None:
        """Choose the place around which all begin, with `lane_length` m of lanes around it."""
        route = int(self.rng.integers(len(self.routes)))
        s = self.rng.uniform(0.2, 0.95) * self._last(route)
        self.focus = np.array(pose_at(self._way(route), s, 0.0)[:2])
        self.radius = 20.0
        while self.radius < WIDEST:
            near = sum(self._length_near(r) for r in self._distinct())
            if near >= lane_length:
                break
            self.radius += WIDER

    def _distinct(self) -> list[int]:
        """Routes that begin on different lanes."""
        first = {route.lanes[0]: r for r, route in enumerate(self.routes)}
        return list(first.values())

    def _length_near(self, route: int) -> float:
        way = self._way(route)[: max(int(self._last(route) / SPACING), 1) : 4]
        return float((np.hypot(way[:, 0] - self.focus[0], way[:, 1] - self.focus[1]) < self.radius).sum() * 4 * SPACING)

    def _way(self, route: int) -> Array:
        return self.net.points[self.net.start[route] : self.net.start[route + 1]]

    def _last(self, route: int) -> float:
        """Where a vehicle may begin at most, m along the route: what follows suffices for the whole duration."""
        speed = self._way(route)[:, c.PSPEED]
        # Time to the end, at the desired speeds.
        remaining = np.cumsum((SPACING / speed)[::-1])[::-1]
        return float(max((remaining > KEENEST * self.duration).sum() * SPACING - 5.0, 12.0))

    def vehicle(self, among: list[int], *, truck: bool = False, cyclist: bool = False) -> bool:
        """Place one more vehicle or cyclist, if there is room; whether there was."""
        rng = self.rng
        for _ in range(TRIES):
            route = int(among[rng.integers(len(among))])
            options = self.routes[route]
            freeway = options.speed_limit > FREEWAY
            lane = int(options.name.rsplit(":", 1)[-1])
            if cyclist:
                traits = sample_cyclist(rng, options.lane_width)
            else:
                tight = np.abs(self._way(route)[:, PCURVATURE]).max()
                fits = 2 * AXLE * (16.0 if freeway else 8.0) * tight < np.tan(STEEPEST)
                traits = sample_vehicle(rng, freeway=freeway, truck=truck and bool(fits), lane=lane)
            at = rng.uniform(traits[LENGTH] + 2.0, max(self._last(route), traits[LENGTH] + 4.0), PLACES)
            keenness = rng.uniform(0.85, 1.0)
            row = self.agents[self.count]
            row[:] = 0.0
            row[[PRESENT, ROUTE, D, WANDER, PROGRESS]] = 1.0, route, traits[SIDE], traits[SIDE], 1.0
            self.traits[self.count] = traits
            agents = self.agents[: self.count + 1]
            if _settle(agents, self.traits, self.net.tables, at, keenness, self.focus, self.radius):
                self.count += 1
                return True
            row[PRESENT] = 0.0
        return False

    def walker(self) -> None:
        """Place one more pedestrian at a crosswalk."""
        rng = self.rng
        # The two directions of a crosswalk follow each other in the list, and have their slots mirrored.
        walk, slot = self.free.pop(int(rng.integers(len(self.free))))
        self.free.remove((walk ^ 1, len(SLOTS) - 1 - slot))
        route = self.net.num_routes + walk
        s, d = rng.uniform(0.3, SIDEWALK - 0.8), SLOTS[slot]
        traits, row = sample_pedestrian(rng), self.agents[self.count]
        traits[SIDE] = d
        row[:] = 0.0
        row[[PRESENT, ROUTE, S, D, WANDER]] = 1.0, route, s, d, d
        row[X], row[Y], row[YAW] = pose_at(self._way(route), s, d)
        self.traits[self.count] = traits
        self.count += 1


@njit(cache=True, error_model="numpy")
def _settle(agents, traits, net, places, keenness, focus, radius):
    """Put the last of the vehicles at the first of the places (m along its route) where there is room, if any."""
    for s in places:
        agents[-1, S] = s
        if _has_room(agents, traits, net, keenness, focus, radius):
            return True
    return False


@njit(cache=True, error_model="numpy")
def _has_room(agents, traits, net, keenness, focus, radius):
    """Put the last of the vehicles on its route, at a speed that suits; whether there is room for it."""
    points, start, stops, stop_start, zones, zone_start = net[0], net[1], net[4], net[5], net[6], net[7]
    i = len(agents) - 1
    own, mine, route = agents[i], traits[i], int(agents[i, ROUTE])
    way = points[start[route] : start[route + 1]]
    base = 2.0 * AXLE * mine[LENGTH]
    own[X], own[Y], own[YAW] = pose_at(way, own[S] - 0.5 * base, own[D])
    if np.hypot(own[X] - focus[0], own[Y] - focus[1]) > radius:
        return False
    speed = keenness * desired_speed(way, own[S], mine)
    bumper, num = front(own, mine), len(start) - 1
    for z in range(zone_start[route * num], zone_start[(route + 1) * num]):
        if bumper > min(zones[z, HOLD_A], zones[z, IN_A]) - 3.0 and rear(own, mine) < zones[z, OUT_A] + 1.0:
            return False
        if zones[z, MEETING] <= CROSSING + 1 and zones[z, FIRST] <= 0 and bumper < zones[z, HOLD_A]:
            speed = min(speed, np.sqrt(3.0 * (zones[z, HOLD_A] - bumper)))
    for k in range(stop_start[route], stop_start[route + 1]):
        if bumper < stops[k, STOP_S]:
            speed = min(speed, np.sqrt(3.0 * (stops[k, STOP_S] - bumper)))
    own[SPEED] = speed
    for j in range(len(agents)):
        if agents[j, PRESENT] == 0 or traits[j, c.KIND] == 2:
            continue
        its = int(agents[j, ROUTE])
        gap, lead_speed, who = leader(j, agents, traits, points[start[its] : start[its + 1]])
        if who < 0 or (j != i and who != i):
            continue
        v = agents[j, SPEED]
        needed = traits[j, STANDSTILL_GAP] + 0.7 * traits[j, HEADWAY] * v
        if gap < needed + max(v * v - lead_speed * abs(lead_speed), 0.0) / (2.0 * traits[j, BRAKING]):
            return False
    return True
