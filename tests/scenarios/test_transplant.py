"""Families in scenes that they were not written for, generated ones with nothing up their sleeve and real ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from tests.scenarios.digest import digest
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import AgentType, Links, Scene, Tracks
from trafficgym.scene.sources import open_scenes
from trafficgym.world.config import WorldConfig
from trafficgym.world.events import Event
from trafficgym.world.world import World
from trafficgym_scenarios.families import FAMILIES, find_family
from trafficgym_scenarios.roads import HighwayOptions, Interval, sample_highway
from trafficgym_scenarios.scenario import LogicalScenario
from trafficgym_scenarios.settings import stage_on
from trafficgym_scenarios.stage import Actor, compose
from trafficgym_scenarios.survey import main, survey
from trafficgym_scenarios.transplant import Ground, Misfit, Reason, Transplanted, transplant

SPEED = 15.0
EGO_ID = 1
TELLABLE = [family for family in FAMILIES.values() if family.setting is not None]
ON_HIGHWAY = [
    family
    for family in TELLABLE
    if family.setting is not None and not set(family.setting.needs) & {"opposite", "parking", "kerb"}
]


def scene_with(
    *cars: tuple[float, float, float],
    lane: int = 1,
    speed: float = SPEED,
    start: float = 140.0,
    shape: str = "straight",
) -> Scene:
    """A highway of three lanes and 1 km, the ego, and others.

    Args:
        cars: m ahead of the ego's centre, m to its left, m/s.
        lane: Of the ego, 0 the rightmost.
        speed: Of the ego [m/s].
        start: From where the road begins to the ego [m].
        shape: Of the road.
    """
    options = HighwayOptions(shape=shape, num_lanes=Interval(3, 3), length=Interval(1000.0, 1000.0, "m"))  # type: ignore[arg-type]
    stage = stage_on(sample_highway(np.random.default_rng(1), options), f"main:{lane}", start)
    others = [Actor(path=stage.path, s=stage.start + s, d=d, speed=v) for s, d, v in cars]
    return compose("plain", stage, Actor(path=stage.path, s=stage.start, speed=speed), others)


def fits(family: str | LogicalScenario, scene: Scene | Ground, **options: object) -> Transplanted:
    family = find_family(family) if isinstance(family, str) else family
    found = transplant(family, scene, **{"seed": 0, **options})  # type: ignore[arg-type]
    assert isinstance(found, Transplanted), str(found)
    return found


def misfit(family: str, scene: Scene, **options: object) -> Misfit:
    found = transplant(find_family(family), scene, **{"seed": 0, **options})  # type: ignore[arg-type]
    assert isinstance(found, Misfit), found.scene.id
    assert str(found) == f"{family} does not fit scene {scene.id!r}: {found.detail}"
    return found


def check_start(found: Transplanted) -> None:
    """Nobody who was added overlaps with anybody, or is off the road, in the first second of the log."""
    world = World([found.scene], control="log", config=WorldConfig(watch_log=True))
    slots = [int(np.flatnonzero(world.track[0] == track)[0]) for track in found.added]
    for step in range(11):
        wrong = world.events.state[0, slots] & np.uint8(Event.COLLISION | Event.OFF_ROAD)
        for track, bits in zip(found.added, wrong, strict=True):
            if found.scene.tracks.type[track] == AgentType.CYCLIST and step:
                bits &= np.uint8(Event.COLLISION)
            assert not bits, (found.scene.id, track, step, Event(int(bits)))
        world.step()


def check_others(found: Transplanted, before: Scene) -> None:
    """Whoever was there before is there as before."""
    after = found.scene.tracks
    kept = ~np.isin(before.tracks.id, found.removed)
    num = int(kept.sum())
    assert after.num_agents == num + len(found.added)
    assert len(found.removed) == before.num_agents - num
    for field in fields(Tracks):
        old, new = getattr(before.tracks, field.name), getattr(after, field.name)
        if field.name == "is_sdc":
            assert np.flatnonzero(new).tolist() == [found.ego]
        elif old is not None:
            np.testing.assert_array_equal(new[:num], old[kept], err_msg=field.name)
    assert found.scene.road is before.road
    assert found.scene.signals is before.signals
    np.testing.assert_array_equal(found.scene.origin, before.origin)


def has_acted(found: Transplanted) -> bool:
    """Whether a hero leaves its first phase, against an ego that follows its log."""
    world = World([found.scene], control="log")
    while not world.truncated.all():
        world.step()
    return bool((world.hero_phase > 0).any())


@pytest.mark.parametrize("family", ON_HIGHWAY, ids=lambda family: family.name)
def test_every_story_of_highways_fits_an_empty_one(family: LogicalScenario) -> None:
    scene = scene_with()
    found = fits(family, scene)
    assert found.scene.id == f"{family.name}@plain/0"
    assert found.parameters["ego_speed"] == pytest.approx(SPEED, abs=1e-4)
    assert found.added[-1] == found.scene.num_agents - 1
    assert set(found.scene.scripts) <= set(found.added)
    check_start(found)
    check_others(found, scene)
    if any(len(script.phases) > 1 for script in found.scene.scripts.values()):
        assert has_acted(found)


def test_the_same_seed_gives_the_same_bytes() -> None:
    family, scene = find_family("cut-in"), scene_with((60.0, 0.0, SPEED))
    one, again, other = (fits(family, scene, seed=seed) for seed in (4, 4, 5))
    assert digest(one.scene) == digest(again.scene)
    assert digest(one.scene) == digest(fits(family, Ground(scene), seed=4).scene)
    assert digest(one.scene) != digest(other.scene)


def test_parameters_can_be_given_but_not_the_speed() -> None:
    scene = scene_with()
    assert fits("cut-in", scene, parameters={"gap": 7.5}).parameters["gap"] == 7.5
    with pytest.raises(ConfigError, match="ego_speed is that of the ego in the scene"):
        transplant(find_family("cut-in"), scene, seed=0, parameters={"ego_speed": 20.0})
    with pytest.raises(ConfigError, match="gap is 50 m"):
        transplant(find_family("cut-in"), scene, seed=0, parameters={"gap": 50.0})


def test_the_hero_is_where_its_parameters_say() -> None:
    found = fits("cut-in", scene_with(), parameters={"gap": 7.5})
    tracks, now, hero = found.scene.tracks, found.scene.current_step, found.added[0]
    away = np.array([tracks.x[hero, now] - tracks.x[found.ego, now], tracks.y[hero, now] - tracks.y[found.ego, now]])
    yaw = tracks.yaw[found.ego, now]
    along, aside = away @ [np.cos(yaw), np.sin(yaw)], away @ [-np.sin(yaw), np.cos(yaw)]
    assert along == pytest.approx(7.5 + 4.8, abs=0.1)
    assert 3.4 < aside < 3.8


def test_without_a_lane_graph_lanes_are_joined_where_they_meet() -> None:
    scene = scene_with(shape="s")
    none = Links.empty(scene.road.num_features)
    bare = replace(scene, road=replace(scene.road, successors=none, predecessors=none))
    assert not bare.road.has_lane_graph
    with_graph, without = fits("cut-in", scene).scene, fits("cut-in", bare).scene
    np.testing.assert_array_equal(with_graph.tracks.x, without.tracks.x)


@pytest.mark.parametrize(
    ("family", "scene", "reason", "words"),
    [
        ("cut-in", scene_with(lane=2), Reason.NO_LEFT, "no lane on the left"),
        ("swerve", scene_with(lane=0), Reason.NO_RIGHT, "no lane on the right"),
        ("oncoming-overtake", scene_with(), Reason.NO_ONCOMING, "no oncoming lane"),
        ("hard-brake", scene_with(speed=3.0), Reason.TOO_SLOW, "moves at 3.0 m/s; 5 is the least"),
        ("jaywalker", scene_with(speed=30.0), Reason.TOO_FAST, "moves at 30.0 m/s"),
        ("stopped-lead", scene_with(start=940.0), Reason.LANE_ENDS, "the ego's lane ends after 60 m"),
        ("stopped-lead", scene_with((12.0, 0.0, SPEED)), Reason.BETWEEN, "track 2 is between the ego and a hero"),
        ("ramp-squeeze", scene_with(), Reason.OTHER_ROAD, "its own kind of road only: on-ramp"),
    ],
)
def test_misfits_say_why(family: str, scene: Scene, reason: Reason, words: str) -> None:
    found = misfit(family, scene)
    assert found.reason == reason
    assert words in found.detail


def test_a_car_in_the_heros_place_makes_room_if_it_may() -> None:
    scene = scene_with((12.0, 3.6, SPEED), (-30.0, 0.0, SPEED))
    wish = {"parameters": {"gap": 7.0}}
    assert misfit("cut-in", scene, **wish).reason == Reason.TAKEN
    assert "taken by track 2" in misfit("cut-in", scene, **wish).detail
    found = fits("cut-in", scene, make_room=True, **wish)
    assert found.removed == (2,)
    check_start(found)
    check_others(found, scene)


def test_nobody_makes_room_who_is_not_asked_to() -> None:
    scene = scene_with((12.0, 3.6, SPEED))
    walker = replace(scene.tracks, type=np.array([AgentType.VEHICLE, AgentType.PEDESTRIAN], np.int8))
    found = misfit("cut-in", replace(scene, tracks=walker), make_room=True, parameters={"gap": 7.0})
    assert found.reason == Reason.TAKEN
    assert fits("cut-in", scene_with((90.0, 3.6, SPEED)), make_room=True).removed == ()


def test_others_can_be_the_ego() -> None:
    scene = scene_with((50.0, 0.0, SPEED), speed=0.0)
    assert misfit("hard-brake", scene).reason == Reason.TOO_SLOW
    for ego in ("any", 2):
        found = fits("hard-brake", scene, ego=ego)
        assert found.scene.tracks.id[found.ego] == 2
        assert found.scene.sdc == found.ego
    nobody = replace(scene, tracks=replace(scene.tracks, is_sdc=np.zeros(2, bool)))
    assert misfit("hard-brake", nobody).reason == Reason.NO_EGO
    assert fits("hard-brake", nobody, ego="any").ego == 1
    with pytest.raises(ConfigError, match="has no ego 99; give the id of a track"):
        transplant(find_family("hard-brake"), scene, seed=0, ego=99)
    with pytest.raises(ConfigError, match="did you mean 'any'"):
        transplant(find_family("hard-brake"), scene, seed=0, ego="ani")  # type: ignore[arg-type]


def test_a_story_can_be_told_in_a_scene_that_has_one() -> None:
    first = fits("cut-in", scene_with((200.0, 0.0, SPEED)))
    second = fits("rear-end-approach", first.scene)
    assert set(second.scene.scripts) == {*first.added, *second.added}
    assert second.scene.scripts[first.added[0]] is first.scene.scripts[first.added[0]]
    check_others(second, first.scene)


def test_the_survey_counts_every_scene_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = [scene_with(), scene_with(lane=2), scene_with(speed=2.0)]
    brake, cut_in = survey([find_family("hard-brake"), find_family("cut-in")], scenes)
    assert (brake.num_scenes, brake.num_fits, brake.misfits) == (3, 2, {"ego too slow": 1})
    assert cut_in.num_fits == 1
    assert cut_in.misfits == {"no lane on the left": 1, "ego too slow": 1}
    assert main([str(tmp_path / "nothing")]) == 2
    assert "does not exist" in capsys.readouterr().err


LEAST = {"hard-brake": 18, "stop-and-go": 18, "jaywalker": 12, "cut-in": 8, "cut-in-from-right": 7}
"""Of the 27 scenes with a lane graph in ``womd_converted``, with any ego; fewer than the survey finds."""


@pytest.fixture(scope="module")
def real(data_root: Path) -> Sequence[Ground]:
    return [Ground(scene) for scene in open_scenes(data_root / "data/womd_converted")]


@pytest.mark.parametrize("name", LEAST)
def test_real_scenes(name: str, real: Sequence[Ground]) -> None:
    results = [transplant(find_family(name), ground, seed=0, ego="any") for ground in real]
    found = [(ground.scene, one) for ground, one in zip(real, results, strict=True) if isinstance(one, Transplanted)]
    assert len(real) == 27
    assert len(found) >= LEAST[name]
    for scene, one in found:
        check_others(one, scene)
    for _, one in found[:8]:  # each needs an index of the road, which takes a while
        check_start(one)
    assert sum(has_acted(one) for _, one in found[:5]) >= 4
    assert all(one.detail for one in results if isinstance(one, Misfit))


def test_real_scenes_without_a_lane_graph(data_root: Path) -> None:
    file = sorted((data_root / "data/gpudrive").glob("*.json.gz"))[:4]
    scenes = [scene for path in file for scene in open_scenes(path)]
    assert not any(scene.road.has_lane_graph for scene in scenes)
    rows = survey([find_family("hard-brake"), find_family("cut-in")], scenes, ego="any")
    assert rows[0].num_fits >= 2
    assert rows[1].num_fits >= 1


def test_the_command_writes_counts(data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = str(data_root / "data/womd"), tmp_path / "counts.json"
    assert main([file, "--families", "hard-brake", "--ego", "any", "--out", str(out)]) == 0
    assert "hard-brake" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["sources"][file]["hard-brake"]["scenes"] == 1
