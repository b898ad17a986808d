"""Heroes play their scripts: triggers, speeds, gaps, meeting points, lateral moves; and who drives them."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from tests.world.micro import Box, micro_scene, straight
from trafficgym.errors import ConfigError, SceneError
from trafficgym.scene.scene import Scene
from trafficgym.scene.script import HeroScript, Phase, Trigger
from trafficgym.world.state import Driver
from trafficgym.world.world import World

STEPS = 91
LINE = np.array([[0.0, 0.0], [500.0, 0.0]])


def scripted(
    *phases: Phase, ego_x: float = 50.0, ego_speed: float = 10.0, hero_speed: float = 10.0, **options: object
) -> Scene:
    """The ego (track 0) and a hero (track 1), both along x; the hero starts at x = 100, 3.5 m to the left."""
    ego = Box(x=straight(ego_x, ego_speed, STEPS), speed=ego_speed, sdc=True)
    hero = Box(x=straight(100.0, hero_speed, STEPS), y=3.5, speed=hero_speed)
    scene = micro_scene(ego, hero, num_steps=STEPS)
    script = HeroScript(path=options.pop("path", LINE), phases=phases, **options)  # type: ignore[arg-type]
    return replace(scene, scripts={1: script})


def play(scene: Scene, steps: int = 60, control: object = "constant_velocity") -> tuple[np.ndarray, np.ndarray]:
    """x, y, yaw, speed, width of the hero, ``[steps + 1, 5]``, and its phases."""
    world = World([scene], control=control)  # type: ignore[arg-type]
    slot = int(np.flatnonzero(world.track[0] == 1)[0])
    rows, phases = [], []
    for step in range(steps + 1):
        if step:
            world.step()
        state = world.state
        rows.append([getattr(state, name)[0, slot] for name in ("x", "y", "yaw", "speed", "width")])
        phases.append(world.hero_phase[0, slot])
    return np.array(rows), np.array(phases)


def first(phases: np.ndarray, phase: int = 1) -> int:
    assert (phases == phase).any(), "the trigger never fired"
    return int((phases >= phase).argmax())


def until(kind: str, value: float = 0.0, **options: float) -> Phase:
    return Phase(name="waits", until=Trigger(kind=kind, value=value, **options))  # type: ignore[arg-type]


STOP = Phase(name="stops", speed=0.0, deceleration=5.0)


def test_it_brakes_after_its_time_as_hard_as_it_says() -> None:
    rows, phases = play(scripted(until("time", 2.0), STOP))
    assert first(phases) == 21  # the step that begins at 2.0 s
    speed = rows[:, 3]
    np.testing.assert_allclose(speed[:21], 10.0, atol=1e-4)
    np.testing.assert_allclose(np.diff(speed[20:40]), -0.5, atol=1e-4)
    np.testing.assert_allclose(speed[41:], 0.0, atol=1e-4)
    np.testing.assert_allclose(np.diff(rows[:, 0]), 0.05 * (speed[1:] + speed[:-1]), atol=1e-3)


def test_no_trigger_fires_while_it_warms_up() -> None:
    assert first(play(scripted(until("time", 0.0), STOP))[1]) == 11
    assert first(play(scripted(until("time", 0.0), STOP, warm_up=0.0))[1]) == 1


@pytest.mark.parametrize(
    ("trigger", "ego_speed", "expected"),
    [
        # The ego starts 50 m behind, bumper to bumper 46 m, and closes in at 10 m/s.
        (("distance", 16.0), 20.0, 3.0),
        (("ttc", 1.6), 20.0, 3.0),
        (("time_gap", 0.8), 20.0, 3.0),
    ],
)
def test_triggers_fire_when_the_ego_is_that_near(trigger: tuple[str, float], ego_speed: float, expected: float) -> None:
    phases = play(scripted(until(*trigger), STOP, ego_speed=ego_speed))[1]
    assert first(phases) == pytest.approx(10 * expected + 1, abs=1)


def test_triggers_do_not_fire_without_cause() -> None:
    assert (play(scripted(until("ttc", 5.0), STOP, ego_speed=9.0))[1] == 0).all()
    assert (play(scripted(until("distance", 5.0), STOP))[1] == 0).all()
    assert first(play(scripted(until("never", at_most=3.0), STOP))[1]) == 31


def test_it_keeps_its_gap_to_the_ego() -> None:
    rows, _ = play(scripted(Phase(name="paces", gap=12.0), ego_speed=15.0), steps=80)
    ego = 50.0 + 1.5 * np.arange(81)
    assert rows[-1, 0] - ego[-1] - 4.0 == pytest.approx(12.0, abs=0.3)
    behind, _ = play(scripted(Phase(name="tails", gap=-6.0, deceleration=6.0), ego_x=110.0), steps=80)
    assert 110.0 + 80.0 - behind[-1, 0] - 4.0 == pytest.approx(6.0, abs=0.3)


def test_it_meets_the_ego_where_their_ways_cross() -> None:
    across = np.array([[150.0, -200.0], [150.0, 200.0]])
    ego = Box(x=straight(50.0, 10.0, STEPS), speed=10.0, sdc=True)
    hero = Box(x=150.0, y=straight(-60.0, 9.0, STEPS), yaw=np.pi / 2, speed=9.0)
    for late in (0.0, 1.0):
        script = HeroScript(path=across, phases=(Phase(name="meets", arrival=late),), meeting_point=(150.0, 0.0))
        rows, _ = play(replace(micro_scene(ego, hero, num_steps=STEPS), scripts={1: script}), steps=85)
        # While the ego drives on, it is there after 10 s.
        left = -rows[80, 1]
        assert left / rows[80, 3] == pytest.approx(2.0 + late, abs=0.1)


def test_it_moves_aside_on_a_smooth_line_and_turns_with_it() -> None:
    rows, _ = play(scripted(until("time", 1.0), Phase(name="cuts in", offset=0.0, duration=2.0)))
    y, yaw = rows[:, 1], rows[:, 2]
    assert y[10] == pytest.approx(3.5, abs=1e-3)
    assert y[30] == pytest.approx(0.0, abs=1e-3)
    assert y[20] == pytest.approx(1.75, abs=0.02)
    assert (np.diff(y[10:31]) <= 1e-4).all()
    assert np.abs(np.diff(y, 2)).max() < 0.06  # m per step squared: 5.8 * 3.5 / 2^2 m/s^2
    np.testing.assert_allclose(yaw[1:], np.arctan2(np.diff(y), np.diff(rows[:, 0])), atol=1e-3)


def test_it_opens_its_door_and_reverses() -> None:
    rows, _ = play(scripted(Phase(name="opens", speed=0.0, deceleration=50.0, width=3.0)))
    assert rows[0, 4] == 2.0
    assert (rows[1:, 4] == 3.0).all()
    rows, _ = play(scripted(Phase(name="reverses", speed=-2.0, deceleration=4.0), hero_speed=0.0))
    assert rows[-1, 3] == pytest.approx(-2.0)
    assert rows[-1, 0] < 95.0
    np.testing.assert_allclose(rows[:, 2], 0.0, atol=1e-5)


def test_it_follows_a_bent_path() -> None:
    angle = np.linspace(0, np.pi / 2, 60)
    path = np.stack([100 + 40 * np.sin(angle), 3.5 + 40 * (1 - np.cos(angle))], 1)
    rows, _ = play(scripted(Phase(name="turns"), path=path), steps=60)
    away = np.hypot(rows[:, 0] - 100, rows[:, 1] - 43.5)
    assert np.abs(away - 40).max() < 0.05
    assert rows[60, 2] == pytest.approx(1.5, abs=0.05)


def test_heroes_follow_their_scripts_whoever_drives_the_rest() -> None:
    scene = scripted(until("time", 1.0), STOP)
    for control in ("external", "idm", {"all": "log"}, {"vehicle": "constant_velocity", "ego": "external"}):
        world = World([scene], control=control)  # type: ignore[arg-type]
        assert world.controller[0, world.track[0] == 1] == Driver.HERO, control
    for selector in ("hero", 1, "vehicle hero"):
        world = World([scene], control={selector: "constant_velocity"})
        assert world.controller[0, world.track[0] == 1] == Driver.CONSTANT_VELOCITY, selector
    with pytest.raises(ConfigError, match="has scripts for heroes only"):
        World([scene], control="hero")


def test_worlds_play_alike_alone_and_together_and_after_pickling() -> None:
    scenes = [scripted(until("time", k / 4), STOP) for k in range(1, 9)]
    plain = micro_scene(Box(x=straight(0.0, 5.0, STEPS), speed=5.0, sdc=True), num_steps=STEPS)
    together = World([*scenes, plain], control="constant_velocity")
    alone = [World([scene], control="constant_velocity") for scene in scenes]
    for step in range(30):
        if step == 12:
            together = pickle.loads(pickle.dumps(together))
        together.step()
        for b, world in enumerate(alone):
            world.step()
            np.testing.assert_array_equal(together.state.table[b, :2], world.state.table[0, :2])
    together.reset(np.arange(9) < 2)
    assert (together.hero_phase[:2].max(1) == 0).all()
    assert together.hero_phase[2].max() == 1
    assert (together.hero_phase[8] == -1).all()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="no trigger is called 'tcc'; did you mean 'ttc'"):
        Trigger(kind="tcc")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"120\.0 m/s; give m/s, not km/h"):
        Phase(name="speeds", speed=120.0)
    with pytest.raises(ConfigError, match="give one of speed, gap and arrival"):
        Phase(name="both", speed=1.0, gap=2.0)
    with pytest.raises(ConfigError, match="no option 'spede'; did you mean 'speed'"):
        Phase(name="x", spede=3.0)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="meeting_point"):
        HeroScript(path=LINE, phases=(Phase(name="meets", arrival=0.0),))
    with pytest.raises(ConfigError, match=r"path is \(n, 2\)"):
        HeroScript(path=np.zeros((3, 2)), phases=(STOP,))
    with pytest.raises(ConfigError, match="1 to 8 phases, got 0"):
        HeroScript(path=LINE, phases=())
    with pytest.raises(SceneError, match="script for track number 7"):
        replace(scripted(STOP), scripts={7: HeroScript(path=LINE, phases=(STOP,))})
