"""Whether actors fit into a recorded scene: nobody where they are, road under them, a lane to go on in."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.scene.scene import AgentType
from trafficgym.world.casting import road_of
from trafficgym.world.road_queries import edge_distance, is_corner_off
from trafficgym.world.state import DT
from trafficgym_scenarios.cast import CHECKED_S, Cast, meets
from trafficgym_scenarios.stage import Actor, are_apart

Array = NDArray[np.float64]

FIRST_S = 1.0
"""For so long nobody may be where an actor is."""
MARGIN_M = 0.3
"""Least room between two boxes at the start."""
AHEAD_M = 2.0
"""Least room between an actor's front and whoever is ahead of it, later on."""
ON_LANE_M = 2.3
"""A vehicle is nowhere further from every lane, not even between two."""
ALONG_RAD = math.radians(50)
ASIDE_M = 0.3
"""A vehicle that has moved so far across its path has begun to act, and may enter oncoming lanes."""
KERB_M = 1.2
"""Who waits beside the road stands so far from every lane centre."""


class Reason(StrEnum):
    """Why a scene does not fit a family."""

    NO_EGO = "no ego"
    TOO_SLOW = "ego too slow"
    TOO_FAST = "ego too fast"
    NO_LANE = "ego on no lane"
    OTHER_ROAD = "another kind of road"
    NO_LEFT = "no lane on the left"
    NO_RIGHT = "no lane on the right"
    NO_LANE_BESIDE = "no lane beside"
    NO_ONCOMING = "no oncoming lane"
    NO_KERB = "no kerb"
    LANE_ENDS = "lane ends"
    NO_ROOM = "no room"
    TAKEN = "place taken"
    BETWEEN = "somebody between"
    IN_THE_WAY = "somebody in the way"
    OFF_ROAD = "off the road"
    OFF_LANE = "off the lanes"


class Unfit(Exception):
    """An actor does not fit.

    Args:
        reason: Which check failed.
        detail: In words.
        track: Whose place it would take, or who is in its way.
    """

    def __init__(self, reason: Reason, detail: str, track: int | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.track = reason, detail, track


def check(cast: Cast) -> None:
    """Check all actors of a story.

    Raises:
        Unfit: the first thing that is wrong.
    """
    _check_room(cast)
    for row, actor in enumerate(cast.actors, start=1):
        last = _last_step(cast, row)
        _check_length(cast, row, last)
        _check_road(cast, row, actor, last)
        _check_between(cast, row)
        _check_others(cast, row, last)


def _check_room(cast: Cast) -> None:
    """That neither two actors, nor an actor and the ego, are in the same place."""
    i, j = np.triu_indices(len(cast.motion), 1)
    now = cast.motion[:, cast.now, :3]
    if not are_apart(now[i], cast.sizes[i], now[j], cast.sizes[j], MARGIN_M).all():
        raise Unfit(Reason.NO_ROOM, "two of those who take part would stand in the same place")
    first = slice(cast.now, cast.now + round(FIRST_S / DT) + 1)
    ego, actors = cast.motion[0, first, :3], cast.motion[1:, first, :3]
    if not are_apart(ego, cast.sizes[0], actors, cast.sizes[1:, None]).all():
        raise Unfit(Reason.NO_ROOM, "the ego drives into a hero within a second")


def _last_step(cast: Cast, row: int) -> int:
    """Until when an actor is checked: it has met the ego, or it is late enough."""
    last = cast.now + round(CHECKED_S / DT)
    steps = slice(cast.now, last + 1)
    apart = are_apart(cast.motion[0, steps, :3], cast.sizes[0], cast.motion[row, steps, :3], cast.sizes[row])
    return last if apart.all() else cast.now + int(np.argmin(apart))


def _check_length(cast: Cast, row: int, last: int) -> None:
    path, start = cast.site.stage.path, cast.site.stage.start
    s, _ = path.project(cast.motion[row, [cast.now, last], :2])
    half = cast.sizes[row, 0] / 2
    if s.max() > path.length - half:
        raise Unfit(Reason.LANE_ENDS, f"the ego's lane ends after {path.length - start:.0f} m")
    if s.min() < half:
        raise Unfit(Reason.LANE_ENDS, f"the ego's lane begins {start:.0f} m behind it")


def _check_road(cast: Cast, row: int, actor: Actor, last: int) -> None:
    motion, lanes = cast.motion[row, cast.now : last + 1], cast.site.lanes
    if actor.type == AgentType.VEHICLE:
        _check_edges(cast, row, last)
        _check_lanes(cast, row, actor, last)
    elif actor.type == AgentType.CYCLIST:
        # One who crosses the road may leave it on the other side.
        _check_edges(cast, row, last if actor.path is cast.site.stage.path else cast.now)
    elif actor.type == AgentType.PEDESTRIAN:
        along, against = lanes.nearest(motion[0, :2], np.asarray(motion[0, 2]), math.tau)
        if min(along, against) < KERB_M:
            raise Unfit(Reason.OFF_ROAD, "the hero would wait on a lane, not beside the road")


def _check_edges(cast: Cast, row: int, last: int) -> None:
    steps = slice(cast.now, last + 1)
    x, y, yaw = cast.motion[row, steps, :3].T
    boxes = np.stack([x, y, cast.bottom[row, steps], np.cos(yaw), np.sin(yaw)], 1).astype(np.float32)
    half = (cast.sizes[row, :2] / 2).astype(np.float32)
    off = _beyond_edges(boxes, half[0], half[1], road_of(cast.site.scene, 4.0).row)
    if off.any():
        seconds = DT * int(off.argmax())
        when = f"leave the road after {seconds:.1f} s" if seconds > 0 else "stand beyond the edge of the road"
        raise Unfit(Reason.OFF_ROAD, f"a hero would {when}")


@njit(cache=True, error_model="numpy")
def _beyond_edges(boxes, half_length, half_width, row):  # type: ignore[no-untyped-def]
    """Whether boxes (x, y, bottom, cos, sin) ``[n, 5]`` are off the road, as `Event.OFF_ROAD` has it."""
    off = np.zeros(len(boxes), np.bool_)
    circle = np.sqrt(half_length * half_length + half_width * half_width)
    for k in range(len(boxes)):
        x, y, z, cos, sin = boxes[k]
        distance, far = edge_distance(x, y, z, row)
        if distance > 0:
            off[k] = True
        elif distance > -circle:
            off[k] = is_corner_off(x, y, z, cos, sin, half_length, half_width, far + 2 * circle, row)
    return off


def _check_lanes(cast: Cast, row: int, actor: Actor, last: int) -> None:
    motion = cast.motion[row, cast.now : last + 1]
    yaw = motion[:, 2] + (math.pi if actor.faces_back else 0.0)
    along, against = cast.site.lanes.nearest(motion[:, :2], yaw, ALONG_RAD)
    if actor.speed == 0 and not actor.phases:
        return  # it is parked, maybe beside the lanes
    _, d = actor.path.project(motion[:, :2])
    has_acted = np.logical_or.accumulate(np.abs(d - actor.d) > ASIDE_M)
    own = along if along[0] <= against[0] else against
    off = np.where(has_acted, np.minimum(along, against), own) > ON_LANE_M
    if off.any():
        seconds = DT * int(off.argmax())
        raise Unfit(Reason.OFF_LANE, f"a hero would be on no lane of its direction after {seconds:.1f} s")


def _check_between(cast: Cast, row: int) -> None:
    """That nobody is in the ego's lane between it and an actor in the same lane."""
    site, path = cast.site, cast.site.stage.path
    s, d = path.project(cast.motion[row, cast.now, :2])
    if abs(d) > 1.2:
        return
    tracks, now = site.scene.tracks, cast.now
    its_s, its_d = path.project(np.stack([tracks.x[:, now], tracks.y[:, now]], 1))
    low, high = sorted((float(s), site.stage.start))
    between = tracks.valid[:, now] & (np.abs(its_d) < 1.5) & (its_s > low) & (its_s < high)
    between &= np.abs(tracks.z[:, now] - tracks.z[site.ego, now]) < 3.0
    between[[site.ego, *cast.removed]] = False
    if between.any():
        track = int(np.flatnonzero(between)[0])
        raise Unfit(Reason.BETWEEN, f"track {tracks.id[track]} is between the ego and a hero", track)


def _check_others(cast: Cast, row: int, last: int) -> None:
    """That nobody is where an actor is at first, nor in its way later on."""
    tracks, now = cast.site.scene.tracks, cast.now
    steps = np.arange(now, min(last + 1, tracks.num_steps))
    touches = meets(cast, row, steps)
    first = touches[:, : round(FIRST_S / DT) + 1].any(1)
    if first.any():
        track = int(np.flatnonzero(first)[0])
        raise Unfit(Reason.TAKEN, f"the place of a hero is taken by track {tracks.id[track]}", track)
    x, y, yaw, speed = cast.motion[row, steps, :4].T
    ahead = (tracks.x[:, steps] - x) * np.cos(yaw) + (tracks.y[:, steps] - y) * np.sin(yaw) > 0
    stands = np.hypot(tracks.vx[:, steps], tracks.vy[:, steps]) < 0.5
    near = meets(cast, row, steps, longer=2 * AHEAD_M)
    blocked = (near & ahead & (np.abs(speed) > 0.5)) | (touches & stands)
    if blocked.any():
        track, step = np.argwhere(blocked)[0]
        what = f"a hero would run into track {tracks.id[track]} after {DT * step:.1f} s"
        raise Unfit(Reason.IN_THE_WAY, what, int(track))
