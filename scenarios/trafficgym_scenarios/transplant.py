"""The same family in a scene that was recorded: the ego, the road and the others are real, the hero is not."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.scene.scene import AgentType, Scene, Tracks
from trafficgym.world.state import DT
from trafficgym_scenarios.fitting import CHECKED_S, Cast, Reason, Unfit, check, free_since
from trafficgym_scenarios.scenario import LogicalScenario, Need, Parameters
from trafficgym_scenarios.site import Ground, NotHere, Site
from trafficgym_scenarios.stage import Actor, DoesNotFit, play

Array = NDArray[np.float64]

SLOWEST = 5.0
"""m/s; of a slower ego no story is told."""
FASTER = 1.2
"""An ego may be so many times as fast as the fastest that a family knows."""
TRIES = 12
"""Draws of the parameters before a scene is said not to fit."""
SEEN_S = 3.0
"""An ego is seen for at least so long from now on."""
PARKING_M = 2.3
KERB_M = 9.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Transplanted:
    """A family in a recorded scene."""

    scene: Scene
    """The scene with the heroes' scripts, and them as the last of its tracks; its SDC is the ego."""
    family: LogicalScenario
    parameters: Parameters
    """As drawn, but for the ego's speed, which is the real one."""
    seed: int
    ego: int
    """Its track in `scene`."""
    added: tuple[int, ...]
    """Tracks in `scene` of the actors, heroes or not."""
    removed: tuple[int, ...]
    """Ids of the tracks that made room."""


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """Why a family cannot be told in a scene; of several egos, the one that passed most of the checks."""

    family: str
    scene: str
    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.family} does not fit scene {self.scene!r}: {self.detail}"


def transplant(
    family: LogicalScenario,
    scene: Scene | Ground,
    *,
    seed: int,
    parameters: Parameters | None = None,
    ego: int | Literal["sdc", "any"] = "sdc",
    make_room: bool = False,
) -> Transplanted | Misfit:
    """Tell the story of a family in a recorded scene.

    The ego's lane, what lies beside it and its speed are the scene's. The rest is drawn, up to 12 times, until
    everybody fits: nobody else is where a hero is in the first second, none drives into the hero's way, the hero stays
    on the road and on lanes for 6 s (or until it meets the ego's log), and nobody is between the ego and a hero in its
    lane. The logs of all others are as they were; in the log of the heroes they play against that of the ego.

    Args:
        family: The family.
        scene: Any scene; `Ground` of one that is asked more than once.
        seed: Of whatever is drawn.
        parameters: Those that are not drawn.
        ego: Track id; or the SDC; or any vehicle that moves, the SDC first, then whoever goes furthest.
        make_room: Whether a vehicle may be taken out whose place a hero takes, or that is in its way, one for each
            actor.

    Raises:
        ConfigError: no such parameter or track, or a value outside its range.
    """
    ground = scene if isinstance(scene, Ground) else Ground(scene)
    given = dict(parameters or {})
    if "ego_speed" in given:
        raise ConfigError(f"{family.name}: ego_speed is that of the ego in the scene; leave it out")
    family.concrete(given)
    misfits = [_misfit(family, ground.scene, Unfit(Reason.NO_EGO, _no_ego(ego)))]
    for track in _egos(ground.scene, ego):
        found = _at(family, ground, track, seed, given, make_room)
        if isinstance(found, Transplanted):
            return found
        misfits.append(found)
    return max(misfits, key=lambda misfit: list(Reason).index(misfit.reason))


def _no_ego(ego: int | str) -> str:
    if ego == "sdc":
        return "the scene does not say which track is the SDC, or it is not seen now; give ego='any'"
    return f"no vehicle moves at {SLOWEST:g} m/s or more and is seen for {SEEN_S:g} s"


def _misfit(family: LogicalScenario, scene: Scene, why: Unfit) -> Misfit:
    return Misfit(family=family.name, scene=scene.id, reason=why.reason, detail=why.detail)


def _egos(scene: Scene, ego: int | str) -> Iterator[int]:
    """Tracks to try."""
    tracks, now = scene.tracks, scene.current_step
    if ego not in ("sdc", "any"):
        found = np.flatnonzero(tracks.id == ego)
        if isinstance(ego, str) or not len(found):
            hint = nearest_key(str(ego), ["sdc", "any"]) if isinstance(ego, str) else "give the id of a track"
            raise ConfigError(f"scene {scene.id!r} has no ego {ego!r}; {hint}")
        yield int(found[0])
        return
    sdc = scene.sdc
    if sdc is not None and tracks.valid[sdc, now]:
        yield sdc
    if ego == "any":
        seen = min(round(SEEN_S / DT), tracks.num_steps - 1 - now)
        is_moving = np.hypot(tracks.vx[:, now], tracks.vy[:, now]) >= SLOWEST
        is_seen = tracks.valid[:, now : now + seen + 1].all(1)
        others = np.flatnonzero((tracks.type == AgentType.VEHICLE) & is_moving & is_seen)
        way = np.hypot(tracks.x[:, now + seen] - tracks.x[:, now], tracks.y[:, now + seen] - tracks.y[:, now])
        yield from (int(track) for track in others[np.argsort(-way[others], kind="stable")] if track != sdc)


def _at(
    family: LogicalScenario, ground: Ground, ego: int, seed: int, given: Parameters, make_room: bool
) -> Transplanted | Misfit:
    scene = ground.scene
    try:
        site = _site(family, ground, ego)
    except Unfit as why:
        return _misfit(family, scene, why)
    reasons: list[Unfit] = []
    for room in (False, True) if make_room else (False,):
        for attempt in range(TRIES):
            rng = np.random.default_rng([seed, zlib.crc32(f"{family.name}@{scene.id}".encode()), attempt])
            values = {**_draw(family, rng, site.speed), **given}
            try:
                cast = _fitted(family, site, values, rng, room)
            except Unfit as why:
                reasons.append(why)
                continue
            return _insert(family, cast, values, seed)
        if given.keys() >= family.parameters.keys() - {"ego_speed"}:
            break  # nothing else can be drawn
    often = Counter(why.reason for why in reasons).most_common(1)[0][0]
    return _misfit(family, scene, next(why for why in reasons if why.reason == often))


def _site(family: LogicalScenario, ground: Ground, ego: int) -> Site:
    """The ego's stage, if it has what the family needs."""
    if family.setting is None:
        raise Unfit(Reason.OTHER_ROAD, f"it is told on its own kind of road only: {family.road}")
    speed, fastest = ground.speed(ego), family.parameters["ego_speed"].high * FASTER
    if speed < SLOWEST:
        raise Unfit(Reason.TOO_SLOW, f"the ego moves at {speed:.1f} m/s; {SLOWEST:g} is the least")
    if speed > fastest:
        raise Unfit(Reason.TOO_FAST, f"the ego moves at {speed:.1f} m/s; {fastest:.1f} is the most")
    try:
        site = ground.site(ego)
    except NotHere as why:
        raise Unfit(Reason.NO_LANE, f"the ego cannot be placed: {why}") from None
    for need in family.setting.needs:
        _check_need(site, need)
    return site


def _check_need(site: Site, need: Need) -> None:
    stage = site.stage
    lacks: Mapping[Need, tuple[bool, Reason]] = {
        "left": (stage.left is None, Reason.NO_LEFT),
        "right": (stage.right is None, Reason.NO_RIGHT),
        "beside": (stage.left is None and stage.right is None, Reason.NO_LANE_BESIDE),
        "opposite": (stage.opposite is None, Reason.NO_ONCOMING),
        "kerb": (not site.has_kerb or stage.edge_left - stage.edge_right > 2 * KERB_M, Reason.NO_KERB),
        "parking": (not site.has_kerb or not _has_parking(site), Reason.NO_KERB),
    }
    is_lacking, reason = lacks[need]
    if is_lacking:
        raise Unfit(reason, f"the ego's lane has {reason.value}")


def _has_parking(site: Site) -> bool:
    strip = -site.stage.edge_right - site.stage.lane_width / 2
    return site.stage.right is None and PARKING_M < strip < KERB_M


def _draw(family: LogicalScenario, rng: Generator, speed: float) -> dict[str, float]:
    """Parameters; the ego's speed is given, and there is no traffic but the real one."""
    values = {}
    for name, one in family.parameters.items():
        share = float(rng.random())
        values[name] = one.low if one.unit == "cars" else one.at(share)
    values["ego_speed"] = speed
    return values


def _fitted(family: LogicalScenario, site: Site, values: Parameters, rng: Generator, make_room: bool) -> Cast:
    """The cast of a story, if it fits."""
    try:
        plot = family.write(values, rng, site.stage)
    except DoesNotFit as why:
        raise Unfit(Reason.NO_ROOM, str(why)) from None
    cast = _cast(family, site, plot.others)
    while True:
        try:
            check(cast)
            return cast
        except Unfit as why:
            if not make_room or why.track is None or len(cast.removed) == len(cast.actors):
                raise
            if not _may_go(site, why.track):
                raise
            cast = replace(cast, removed=cast.removed | {why.track})


def _may_go(site: Site, track: int) -> bool:
    tracks = site.scene.tracks
    return bool(
        tracks.type[track] == AgentType.VEHICLE and not tracks.is_sdc[track] and track not in site.scene.scripts
    )


def _cast(family: LogicalScenario, site: Site, actors: Sequence[Actor]) -> Cast:
    """Let the actors play against the ego's log."""
    scene, tracks, now = site.scene, site.scene.tracks, site.scene.current_step
    num_steps = max(scene.num_steps, now + round(CHECKED_S / DT) + 1)
    time: Array = (np.arange(num_steps, dtype=np.float64) - now) * DT
    motion = np.stack([_log_of_ego(site, time), *(actor.motion(time) for actor in actors)])
    own = [float(size[site.ego, now]) for size in (tracks.length, tracks.width, tracks.height)]
    sizes = np.array([own, *(actor.size for actor in actors)])
    scripts = {k: actor.script(family.warm_up) for k, actor in enumerate(actors, start=1) if actor.phases}
    play(scripts, motion, sizes, current_step=now)
    usual = float(tracks.z[site.ego, now]) - own[2] / 2 - site.clearance
    bottom = site.lanes.height(motion[..., :2], usual) + site.clearance
    return Cast(site=site, actors=actors, motion=motion, sizes=sizes, bottom=bottom, removed=frozenset())


def _log_of_ego(site: Site, time: Array) -> Array:
    """Its log and, where that has nothing, constant speed along its path, as `Actor.motion` has it."""
    tracks, ego = site.scene.tracks, site.ego
    valid = np.flatnonzero(tracks.valid[ego])
    logged = np.stack([values[ego, valid] for values in (tracks.x, tracks.y, tracks.yaw, tracks.vx, tracks.vy)], 1)
    path, last = site.stage.path, int(valid[-1])
    s, d = path.project(logged[-1, :2].astype(np.float64))
    speed = float(np.hypot(*logged[-1, 3:]))
    out = Actor(path=path, s=float(s), d=float(d), speed=speed).motion(time - time[last])
    x, y, yaw, vx, vy = logged.T
    out[valid] = np.stack([x, y, yaw, np.hypot(vx, vy) * np.sign(vx * np.cos(yaw) + vy * np.sin(yaw)), vx, vy], 1)
    return out


def _insert(family: LogicalScenario, cast: Cast, values: Parameters, seed: int) -> Transplanted:
    """The scene with the actors in it."""
    site, scene = cast.site, cast.site.scene
    kept = np.array([track for track in range(scene.num_agents) if track not in cast.removed])
    new = {int(track): k for k, track in enumerate(kept)}
    tracks = _with_actors(cast, kept)
    added = range(len(kept), tracks.num_agents)
    scripts = {new[track]: script for track, script in scene.scripts.items() if track in new}
    for track, actor in zip(added, cast.actors, strict=True):
        if actor.phases:
            scripts[track] = actor.script(family.warm_up)
    return Transplanted(
        scene=replace(scene, id=f"{family.name}@{scene.id}/{seed}", tracks=tracks, scripts=scripts),
        family=family,
        parameters=values,
        seed=seed,
        ego=new[site.ego],
        added=tuple(added),
        removed=tuple(int(scene.tracks.id[track]) for track in sorted(cast.removed)),
    )


def _with_actors(cast: Cast, kept: NDArray[np.intp]) -> Tracks:
    old, site = cast.site.scene.tracks, cast.site
    steps, num = old.num_steps, len(cast.actors)
    motion, sizes = cast.motion[1:, :steps], cast.sizes[1:]
    is_hero = np.array([bool(actor.phases) for actor in cast.actors])
    since = [free_since(cast, row) for row in range(1, num + 1)]
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


__all__ = ["Ground", "Misfit", "Reason", "Transplanted", "transplant"]
