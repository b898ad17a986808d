"""Runs that are played while they are watched, and the ego that keys take over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pygame
import pytest

from trafficgym.cli.main import main
from trafficgym.errors import ConfigError
from trafficgym.scene.generated import family_scene, load_maker
from trafficgym.viewer.ego_driver import EgoDriver, Pedals
from trafficgym.viewer.frame import Frame
from trafficgym.viewer.live import LiveRun, clip_of_scenario
from trafficgym.viewer.player import Player
from trafficgym.viewer.player_state import BAR, timeline
from trafficgym.viewer.playlist import playlist_of_family
from trafficgym.world.state import Driver
from trafficgym.world.world import World
from trafficgym_scenarios.families import find_family

THROTTLE, BRAKE, LEFT = Pedals(throttle=True), Pedals(brake=True), Pedals(left=True)


@pytest.fixture(autouse=True)
def _closed_display():
    yield
    pygame.display.quit()


def run_of(name: str = "slow-lead", seed: int = 1) -> tuple[LiveRun, EgoDriver]:
    driver = EgoDriver()
    return LiveRun(family_scene(name, seed), driver), driver


def drive(run: LiveRun, driver: EgoDriver, pedals: Pedals | None, steps: int) -> list[Frame]:
    """Go on with some pedals down, or with None by itself."""
    driver.by_keys, driver.pedals = pedals is not None, pedals or Pedals()
    first = run.num_played
    run.frame(first + steps - 1)
    return [run.frame(k) for k in range(first, first + steps)]


def speeds(run: LiveRun, frames: list[Frame]) -> np.ndarray:
    """m/s over each step, from the way."""
    xy = np.array([[frame.x[run.ego], frame.y[run.ego]] for frame in frames])
    return np.hypot(*np.diff(xy, axis=0).T) / 0.1


def offset(run: LiveRun, frame: Frame) -> float:
    """Metres to the left of where the ego began."""
    first, ego = run.frame(0), run.ego
    dx, dy, yaw = frame.x[ego] - first.x[ego], frame.y[ego] - first.y[ego], first.yaw[ego]
    return float(dy * np.cos(yaw) - dx * np.sin(yaw))


def test_by_itself_the_ego_drives_as_idm_drives():
    run, driver = run_of()
    frames = [run.frame(0), *drive(run, driver, None, run.num_steps - 1)]
    world = World([run.scene], control={"all": "idm"})
    ego = int(np.flatnonzero(world.track[0] == run.scene.sdc)[0])
    for frame in frames[1:]:
        world.step()
        apart = np.hypot(frame.x[run.ego] - world.state.x[0, ego], frame.y[run.ego] - world.state.y[0, ego])
        assert apart < 0.5
    assert frames[-1].controller[run.ego] == Driver.IDM
    assert (frames[-1].controller == Driver.HERO).sum() == 1


def test_the_throttle_builds_up_and_the_speed_stays_when_it_is_let_go():
    run, driver = run_of()
    before = speeds(run, [run.frame(0), *drive(run, driver, Pedals(), 3)])
    assert np.ptp(before) < 0.01
    pushed = speeds(run, drive(run, driver, THROTTLE, 12))
    gains = np.diff(pushed) / 0.1
    assert (gains > 0.9).all()
    assert (gains < 3.1).all()
    assert gains[-3:] == pytest.approx([3.0] * 3, abs=0.1)
    after = speeds(run, drive(run, driver, Pedals(), 12))
    assert np.ptp(after[5:]) < 0.05


def test_braking_is_hard_and_ends_at_a_standstill():
    run, driver = run_of()
    slowing = speeds(run, drive(run, driver, BRAKE, 60))
    assert np.diff(slowing).min() == pytest.approx(-0.8, abs=0.05)
    assert slowing[-1] == pytest.approx(0.0, abs=1e-3)
    assert "0.0 m/s" in " ".join(run.frame(run.num_played - 1).text)


def test_the_wheel_turns_to_the_left_no_harder_than_tyres_hold_and_goes_back():
    run, driver = run_of()
    frames = [run.frame(0), *drive(run, driver, LEFT, 8)]
    yaw = np.unwrap([frame.yaw[run.ego] for frame in frames])
    assert (np.diff(yaw)[1:] > 0).all()
    lateral = np.diff(yaw) / 0.1 * speeds(run, frames)
    assert lateral.max() == pytest.approx(5.0, abs=0.3)
    frames = drive(run, driver, Pedals(), 6)
    yaw = np.unwrap([frame.yaw[run.ego] for frame in frames])
    assert np.diff(yaw)[-2:] == pytest.approx([0, 0], abs=1e-4)
    assert offset(run, frames[-1]) > 1


def test_handed_back_in_another_lane_the_ego_stays_there():
    run, driver = run_of("cut-in", 3)  # the ego is in the right one of two lanes
    drive(run, driver, LEFT, 5)
    drive(run, driver, Pedals(), 7)
    drive(run, driver, Pedals(right=True), 5)
    assert offset(run, drive(run, driver, Pedals(), 3)[-1]) > 2.0
    frames = drive(run, driver, None, 40)
    assert offset(run, frames[-1]) == pytest.approx(3.6, abs=0.4)
    assert abs(frames[-1].yaw[run.ego] - run.frame(0).yaw[run.ego]) < 0.02


def test_where_there_is_no_lane_the_ego_stops_when_it_is_handed_back():
    run, driver = run_of("cut-in", 3)
    frames = drive(run, driver, Pedals(right=True), 25)
    assert "off-road at" in " ".join(frames[-1].text)
    slowing = speeds(run, drive(run, driver, None, 50))
    assert (np.diff(slowing) < 0.01).all()
    assert slowing[0] - slowing[20] == pytest.approx(6.0, abs=0.2)


def test_the_same_keys_give_the_same_run():
    last = []
    for _ in range(2):
        run, driver = run_of()
        drive(run, driver, LEFT, 7)
        last.append(drive(run, driver, BRAKE, 10)[-1])
    assert last[0].x.tobytes() == last[1].x.tobytes()
    assert last[0].text == last[1].text


def test_the_text_says_what_the_hero_does_and_how_close_it_came():
    run = LiveRun(family_scene("hard-brake", 0), "constant_velocity")
    lines = [" | ".join(run.frame(step).text) for step in range(run.num_steps)]
    assert all("constant velocity drives the ego" in line for line in lines)
    (script,) = run.scene.scripts.values()
    shown = [next(part for part in line.split(" | ") if part.startswith("hero 2: ")) for line in lines]
    assert list(dict.fromkeys(shown)) == [f"hero 2: {phase.name}" for phase in script.phases]
    least = [line.partition("least ")[2].partition(" s")[0] for line in lines if "least -" not in line]
    assert least == sorted(least, key=float, reverse=True)
    assert least[-1] == "0.0"
    assert "collision at" in lines[-1]


# The player.


def key(code: int, kind: int = pygame.KEYDOWN) -> pygame.event.Event:
    return pygame.event.Event(kind, key=code, mod=0)


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(playlist_of_family("cut-in"), scene=3, size=(300, 200), pictures=tmp_path)


def test_arrows_take_over_and_a_key_gives_back(player):
    player.feed([], 1.0)
    assert "IDM drives the ego" in player.frame.text
    player.feed([key(pygame.K_DOWN)], 0.5)
    player.feed([], 0.5)
    assert "you drive" in player.frame.text
    assert player.state.speed == 1.0, "arrows are no keys of the player here"
    slow = player.frame
    player.feed([key(pygame.K_DOWN, pygame.KEYUP), key(pygame.K_a)], 0.3)
    assert "IDM drives the ego" in player.frame.text
    assert slow.controller[player.clip.run.ego] == Driver.EXTERNAL
    assert slow.driver_labels[Driver.EXTERNAL] == "you"


def test_whoever_leaves_the_window_lets_go(player):
    player.feed([key(pygame.K_UP)], 0.0)
    assert player.state.held
    player.feed([pygame.event.Event(pygame.WINDOWFOCUSLOST)], 0.0)
    assert not player.state.held
    assert player.state.drives


def test_what_was_played_can_be_seen_again_and_keys_act_at_its_end(player):
    player.feed([], 2.0)
    assert player.clip.run.num_played == 21
    there = player.frame
    player.feed([key(pygame.K_HOME)], 0.0)
    assert (player.state.time, player.clip.run.num_played) == (0.0, 21)
    left, right = timeline(player.state)
    at = pygame.event.Event(
        pygame.MOUSEBUTTONDOWN, pos=(round(left + (right - left) * 10 / 80), 200 + BAR // 2), button=1
    )
    player.feed([at], 0.0)
    assert player.state.time == pytest.approx(10, abs=1)
    player.feed([key(pygame.K_UP)], 0.0)
    assert player.state.time == 20.0
    assert player.frame.x.tolist() == there.x.tolist()


def test_begin_again_plays_the_same_and_n_goes_to_the_next_seed(player):
    player.feed([], 2.0)
    before = player.frame
    scale = player.state.camera.scale
    player.feed([key(pygame.K_PLUS), key(pygame.K_LEFT)], 0.5)
    player.feed([key(pygame.K_BACKSPACE)], 0.0)
    assert (player.state.time, player.state.drives, player.clip.run.num_played) == (0.0, False, 1)
    player.feed([], 2.0)
    assert player.frame.x.tobytes() == before.x.tobytes()
    assert player.state.camera.scale > scale, "the view stays"
    player.feed([key(pygame.K_n)], 0.0)
    assert player.clip.scene.id == find_family("cut-in").sample(4).id
    assert player.clip.title == "cut-in, seed 4"
    assert player.state.follow == player.clip.run.ego


def test_it_is_drawn_and_saved_under_a_plain_name(player, tmp_path):
    player.feed([key(pygame.K_h), key(pygame.K_s)], 0.5)
    player.draw(pygame.Surface(player.state.size))
    (saved,) = tmp_path.iterdir()
    assert saved.name.startswith("cut-in-")


# The commands.


def test_view_plays_a_family_and_a_file(tmp_path):
    find_family("cut-in").sample(3).save(tmp_path / "one.json")
    for option in (["--family", "cut-in", "--seed", "3"], ["--scenario", str(tmp_path / "one.json")]):
        pygame.display.init()
        pygame.event.post(key(pygame.K_q))
        assert main(["view", *option, "--size", "200", "200"]) == 0


def test_record_writes_a_scenario_and_keeps_the_ego_in_the_middle(tmp_path, capsys):
    out = tmp_path / "a.png"
    find_family("cut-in").sample(3).save(tmp_path / "one.json")
    pictures = []
    for option in (["--family", "cut-in", "--seed", "3"], ["--scenario", str(tmp_path / "one.json"), "--follow", "1"]):
        assert main(["record", *option, str(out), "--size", "200", "100", "--step", "30"]) == 0
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1]
    assert capsys.readouterr().out.split() == [str(out)] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["view"], "not none of them"),
        (["view", "store", "--family", "cut-in"], "not source and family"),
        (["view", "--family", "cut-inn"], "did you mean 'cut-in'"),
        (["view", "--family", "cut-in", "--seed", "-1"], "must not be negative"),
        (["view", "--family", "cut-in", "--policy", "idm"], "--policy is for scenes of a SOURCE"),
        (["view", "--scenario", "no.json"], "no.json: cannot be read"),
        (["record", "--family", "cut-in", "store", "a.png"], "give OUT alone"),
        (["record", "a.png"], "give SOURCE and OUT"),
        (["record", "--family", "cut-in", "--scenario", "b.json", "a.png"], "not both"),
        (["record", "--family", "cut-in", "--scene", "1", "a.png"], "--scene is for"),
        (["record", "--family", "cut-in", "--policy", "idmm", "a.png"], "did you mean 'idm'"),
        (["record", "--family", "cut-in", "--background", "idmm", "a.png"], "did you mean 'idm'"),
        (["record", "store", "a.png", "--background", "idm"], "--background is for --family and --scenario"),
        (["view", "--family", "cut-in", "--background", "external"], "no policy is called 'external'"),
        (["view", "store", "--background", "idm"], "--background is for --family and --scenario"),
    ],
)
def test_wrong_use_is_explained(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_a_package_that_makes_scenarios_the_error_says_which():
    with pytest.raises(ConfigError, match=r"entry point 'dragons' .* trafficgym_scenarios has it"):
        load_maker("dragons")


def test_an_ego_that_needs_somebody_to_act_is_refused():
    with pytest.raises(ConfigError, match="no policy is called 'external'"):
        clip_of_scenario(family_scene("cut-in", 3), "external")
