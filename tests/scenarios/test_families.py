"""Every family: its scenes are scenes, its heroes act, and the same scenario gives the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scenarios.digest import digest
from trafficgym.world.events import Event
from trafficgym.world.world import World
from trafficgym_scenarios.families import FAMILIES
from trafficgym_scenarios.ids import FAMILY_NAMES, IDS
from trafficgym_scenarios.scenario import LogicalScenario

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=str)
SEEDS = range(5)


def test_ids_and_families_are_the_same() -> None:
    assert tuple(FAMILIES) == FAMILY_NAMES
    assert {family.gym_id for family in FAMILIES.values()} < set(IDS)
    roles = [family.held_out for family in FAMILIES.values()]
    assert roles == sorted(roles), "held-out families come last"


@families
def test_the_same_scenario_gives_the_same_bytes(family: LogicalScenario) -> None:
    scenes = [family.sample(3).scene for _ in range(2)]
    assert digest(scenes[0]) == digest(scenes[1])
    assert scenes[0].id == family.sample(3).id
    assert digest(family.sample(4).scene) != digest(scenes[0])


@families
def test_nobody_has_crashed_before_it_begins(family: LogicalScenario) -> None:
    scenes = [family.sample(seed).scene for seed in SEEDS] + [family.at(c).scene for c in (0.0, 1.0)]
    for scene in scenes:
        assert scene.sdc == 0
        assert scene.scripts
        assert scene.num_steps == 91
        assert 0 not in scene.scripts
    world = World(scenes, control={"all": "idm", "ego": "constant_velocity"})
    for step in range(6):  # in the first half second, too
        wrong = world.events.holds(Event.COLLISION | Event.OFF_ROAD) & world.state.present
        assert not wrong.any(), (step, np.argwhere(wrong).tolist(), [scene.id for scene in scenes])
        world.step()


@families
def test_the_log_is_what_happens_to_an_ego_that_does_nothing(family: LogicalScenario) -> None:
    scene = family.sample(1).scene
    world = World([scene], control="log")
    slots = {int(track): slot for slot, track in enumerate(world.track[0])}
    for step in range(scene.current_step, scene.num_steps):
        for track in scene.scripts:
            slot = slots[track]
            got = np.array([world.state.x[0, slot], world.state.y[0, slot]])
            logged = np.array([scene.tracks.x[track, step], scene.tracks.y[track, step]])
            np.testing.assert_allclose(got, logged, atol=0.02, err_msg=f"{scene.id}, track {track}, step {step}")
        world.step()


@families
def test_most_stories_happen(family: LogicalScenario) -> None:
    """An ego that drives straight on at constant speed gets into trouble, or very near it, more often than not."""
    scenes = [family.sample(seed).scene for seed in range(16)]
    world = World(scenes, control={"all": "idm", "ego": "constant_velocity"})
    ego = np.array([int(np.flatnonzero(track == 0)[0]) for track in world.track])
    at = np.arange(len(scenes))
    trouble = np.zeros(len(scenes), bool)
    for _ in range(80):
        world.step()
        trouble |= world.events.holds(Event.COLLISION | Event.OFF_ROAD)[at, ego]
    assert trouble.mean() >= 0.4, f"{family.name}: {trouble.mean():.0%}"
