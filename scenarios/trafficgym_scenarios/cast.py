"""The actors of a story in a recorded scene: how they move against the ego's log, and the scene with them in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.scene.scene import Scene, Tracks
from trafficgym.world.state import DT
from trafficgym_scenarios.site import Site
from trafficgym_scenarios.stage import Actor, are_apart, play

Array = NDArray[np.float64]

CHECKED_S = 6.0
"""For so long an actor must have a road and a lane, unless it has met the ego before."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cast:
    """The ego and the actors of a story, and how they move."""

    site: Site
    actors: Sequence[Actor]
    motion: Array
    """``[1 + n, T, 6]``, see `Actor.motion`: of the ego, then of the actors, from the scene's first step on."""
    sizes: Array
    """``[1 + n, 3]`` m."""
    bottom: Array
    """Bottom of the boxes, ``[1 + n, T]`` m."""
    removed: frozenset[int]
    """Tracks that are taken out of the scene."""

    @property
    def now(self) -> int:
        """The scene's current step."""
        return self.site.scene.current_step


def cast_of(site: Site, actors: Sequence[Actor], warm_up: float) -> Cast:
    """Let actors play against the ego's log, or where that ends, against an ego that goes on along its path.

    Args:
        site: The ego and its stage.
        actors: Who is added.
        warm_up: s in which no trigger fires.
    """
    scene, tracks, now = site.scene, site.scene.tracks, site.scene.current_step
    num_steps = max(scene.num_steps, now + round(CHECKED_S / DT) + 1)
    time: Array = (np.arange(num_steps, dtype=np.float64) - now) * DT
    motion = np.stack([_log_of_ego(site, time), *(actor.motion(time) for actor in actors)])
    own = [float(size[site.ego, now]) for size in (tracks.length, tracks.width, tracks.height)]
    sizes = np.array([own, *(actor.size for actor in actors)])
    scripts = {k: actor.script(warm_up) for k, actor in enumerate(actors, start=1) if actor.phases}
    play(scripts, motion, sizes, current_step=now)
    usual = float(tracks.z[site.ego, now]) - own[2] / 2 - site.clearance
    bottom = site.lanes.height(motion[..., :2], usual) + site.clearance
    return Cast(site=site, actors=actors, motion=motion, sizes=sizes, bottom=bottom, removed=frozenset())


def _log_of_ego(site: Site, time: Array) -> Array:
    tracks, ego, path = site.scene.tracks, site.ego, site.stage.path
    valid = np.flatnonzero(tracks.valid[ego])
    first, last = int(valid[0]), int(valid[-1])
    x, y, yaw, vx, vy = (
        values[ego, valid].astype(np.float64) for values in (tracks.x, tracks.y, tracks.yaw, tracks.vx, tracks.vy)
    )
    s, d = path.project(np.array([x[-1], y[-1]]))
    out = Actor(path=path, s=float(s), d=float(d), speed=float(np.hypot(vx[-1], vy[-1]))).motion(time - time[last])
    speed = np.hypot(vx, vy) * np.where(vx * np.cos(yaw) + vy * np.sin(yaw) < 0, -1.0, 1.0)
    steps = np.arange(first, last + 1)
    for column, values in enumerate((x, y, np.unwrap(yaw), speed, vx, vy)):
        out[steps, column] = np.interp(steps, valid, values)
    return out


def insert(cast: Cast, *, id: str, warm_up: float) -> Scene:
    """The scene with the actors as its last tracks, and the ego as its SDC.

    Args:
        cast: Who is added, and who is taken out.
        id: Of the scene.
        warm_up: s in which no trigger fires.
    """
    scene = cast.site.scene
    kept = np.array([track for track in range(scene.num_agents) if track not in cast.removed])
    scripts = {k: scene.scripts[track] for k, track in enumerate(kept.tolist()) if track in scene.scripts}
    for track, actor in enumerate(cast.actors, start=len(kept)):
        if actor.phases:
            scripts[track] = actor.script(warm_up)
    return replace(scene, id=id, tracks=_tracks(cast, kept), scripts=scripts)


def _tracks(cast: Cast, kept: NDArray[np.intp]) -> Tracks:
    old, site = cast.site.scene.tracks, cast.site
    steps, num = old.num_steps, len(cast.actors)
    motion, sizes = cast.motion[1:, :steps], cast.sizes[1:]
    is_hero = np.array([bool(actor.phases) for actor in cast.actors])
    since = [_free_since(cast, row) for row in range(1, num + 1)]
    length, width, height = (np.broadcast_to(sizes[:, k, None], (num, steps)) for k in range(3))
    rows: dict[str, Any] = {
        "id": old.id.max() + 1 + np.arange(num),
        "type": np.array([actor.type for actor in cast.actors]),
        "x": motion[..., 0],
        "y": motion[..., 1],
        "z": cast.bottom[1:, :steps] + height / 2,
        "yaw": (motion[..., 2] + np.pi) % (2 * np.pi) - np.pi,
        "vx": motion[..., 4],
        "vy": motion[..., 5],
        "length": length,
        "width": width,
        "height": height,
        "valid": np.arange(steps) >= np.array(since)[:, None],
        "is_sdc": np.zeros(num, bool),
        "to_predict": is_hero,
        "of_interest": is_hero,
        "difficulty": np.zeros(num),
        "turns": np.zeros((num, steps)),
    }
    columns: dict[str, Any] = {}
    for field in fields(Tracks):
        values = getattr(old, field.name)
        columns[field.name] = None if values is None else _joined(values[kept], rows[field.name])
    columns["is_sdc"] = np.arange(len(kept) + num) == np.flatnonzero(kept == site.ego)[0]
    return Tracks(**columns)


def _joined(values: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([values, np.asarray(rows, values.dtype)])


def _free_since(cast: Cast, row: int) -> int:
    """The first step from which on an actor was where nobody else was, until now."""
    met = meets(cast, row, np.arange(cast.now + 1)).any(0)
    return int(np.flatnonzero(met)[-1]) + 1 if met.any() else 0


def meets(cast: Cast, row: int, steps: NDArray[np.intp], longer: float = 0.0) -> NDArray[np.bool_]:
    """Which tracks, but for the ego and those taken out, overlap with an actor at some steps, ``[A, S]``.

    Args:
        longer: m by which the actor's box is longer than it is.
    """
    tracks = cast.site.scene.tracks
    pose = np.stack([tracks.x[:, steps], tracks.y[:, steps], tracks.yaw[:, steps]], -1).astype(np.float64)
    size = np.stack([tracks.length[:, steps], tracks.width[:, steps]], -1).astype(np.float64)
    own = cast.sizes[row] + np.array([longer, 0.0, 0.0])
    apart = are_apart(cast.motion[row, steps, :3], own, pose, size)
    its_bottom = tracks.z[:, steps] - 0.5 * tracks.height[:, steps]
    level = np.abs(its_bottom - cast.bottom[row, steps]) < 2.0
    found = np.asarray(tracks.valid[:, steps] & level & ~apart)
    found[[cast.site.ego, *cast.removed]] = False
    return found
