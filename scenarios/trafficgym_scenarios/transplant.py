"""The same family in a scene that was recorded: the ego, the road and the others are real, the hero is not."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.state import DT
from trafficgym_scenarios.cast import Cast, cast_of, insert
from trafficgym_scenarios.fitting import Reason, Unfit, check
from trafficgym_scenarios.scenario import LogicalScenario, Need, Parameters
from trafficgym_scenarios.site import Ground, NotHere, Site
from trafficgym_scenarios.stage import DoesNotFit

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
            return _transplanted(family, cast, values, seed)
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
    cast = cast_of(site, plot.others, family.warm_up)
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


def _transplanted(family: LogicalScenario, cast: Cast, values: Parameters, seed: int) -> Transplanted:
    site, scene = cast.site, cast.site.scene
    new = insert(cast, id=f"{family.name}@{scene.id}/{seed}", warm_up=family.warm_up)
    ego = new.sdc
    assert ego is not None
    return Transplanted(
        scene=new,
        family=family,
        parameters=values,
        seed=seed,
        ego=ego,
        added=tuple(range(new.num_agents - len(cast.actors), new.num_agents)),
        removed=tuple(int(site.scene.tracks.id[track]) for track in sorted(cast.removed)),
    )


__all__ = ["Ground", "Misfit", "Reason", "Transplanted", "transplant"]
