"""Goals that are clicked in the window, for a driver that goes straight to them."""

from __future__ import annotations

import numpy as np
import pygame
import pytest

from tests.scene.make_scene import make_scene
from tests.viewer.make_frame import make_frame
from trafficgym.scene.generated import family_scene
from trafficgym.viewer.camera import Camera
from trafficgym.viewer.frame import Goals
from trafficgym.viewer.goals import ClickedGoals
from trafficgym.viewer.live import live_clip
from trafficgym.viewer.painter import Painter
from trafficgym.viewer.palette import DARK
from trafficgym.viewer.player import Player
from trafficgym.viewer.playlist import Playlist
from trafficgym.world.controllers import Policy
from trafficgym.world.dynamics import TargetPose
from trafficgym.world.world import World

SIZE = (300, 200)


class Taxi:
    """Stands until it is sent somewhere, then goes there by 1 m in each step, through everything."""

    name = "taxi"

    def __init__(self, *, takes_goals: bool = True) -> None:
        self.takes_goals, self.goals, self.dynamics = takes_goals, "none", TargetPose()

    def act(self, world: World, mask: np.ndarray) -> np.ndarray:
        here = np.stack([world.state.x, world.state.y], -1)
        goals = self.goals(world) if callable(self.goals) else np.full_like(here, np.nan)
        way = np.nan_to_num(goals - here) * ~np.isnan(goals)
        step = way / np.maximum(np.hypot(*np.moveaxis(way, -1, 0)), 1.0)[..., None]
        return np.concatenate([here + step, world.state.yaw[..., None]], -1)


def player_of(background: str | Policy) -> Player:
    scene = family_scene("cut-in", 3)
    player = Player(Playlist(num_scenes=1, load=lambda _: live_clip(scene, background=background)), size=SIZE)
    player.feed([], 0.2)
    return player


@pytest.fixture
def player() -> Player:
    return player_of(Taxi())


def look_at(player: Player, slot: int) -> None:
    """Follow an agent, so that it is in view."""
    for _ in range(10):
        if player.state.follow == slot:
            return
        player.feed([pygame.event.Event(pygame.KEYDOWN, key=pygame.K_TAB, mod=0)], 0.0)
    raise AssertionError(slot)


def pixel(player: Player, x: float, y: float) -> tuple[int, int]:
    return tuple(int(v) for v in player.state.camera.to_screen((x, y), player.state.picture_size))  # type: ignore[return-value]


def click(player: Player, at: tuple[int, int], button: int = 1) -> None:
    kinds = (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP)
    player.feed([pygame.event.Event(kind, pos=at, button=button) for kind in kinds], 0.0)


def click_agent(player: Player, slot: int) -> None:
    look_at(player, slot)
    click(player, pixel(player, player.frame.x[slot], player.frame.y[slot]))


def send(player: Player, slot: int, dx: float = 0.0, dy: float = 0.0) -> tuple[float, float]:
    """Click an agent and a goal that far from it; returns the goal."""
    click_agent(player, slot)
    x, y = float(player.frame.x[slot]) + dx, float(player.frame.y[slot]) + dy
    click(player, pixel(player, x, y))
    return x, y


def someone(player: Player) -> int:
    assert player.frame.goals is not None
    return int(np.flatnonzero(player.frame.goals.taken & player.frame.present)[0])


def words(player: Player, slot: int) -> list[str]:
    return [line for line in player.frame.text if line.startswith(f"agent {player.frame.id[slot]}: ")]


def test_an_agent_goes_where_it_was_sent_and_the_text_says_when_it_came(player: Player) -> None:
    slot = someone(player)
    others = player.frame.x.copy()
    click_agent(player, slot)
    assert player.state.selected == player.frame.selected == slot
    assert words(player, slot)[-1].endswith("click where it is to go")
    goal = send(player, slot, dx=6.0, dy=8.0)
    assert player.state.selected is None and player.state.notice == ""
    marks = player.clip.run.goals  # type: ignore[union-attr]
    assert np.flatnonzero(marks.valid).tolist() == [slot]
    assert marks.xy[slot] == pytest.approx(goal, abs=0.3)  # a click is a whole pixel
    began = player.frame.time_s
    player.feed([], 0.5)
    assert words(player, slot) == [f"agent {player.frame.id[slot]}: 5 m to its goal"]
    player.feed([], 1.0)
    x, y = marks.xy[slot]
    assert np.hypot(player.frame.x[slot] - x, player.frame.y[slot] - y) < 0.1
    (line,) = words(player, slot)
    before, _, time = line.rpartition(" at ")
    assert before.endswith("at its goal")
    assert float(time.removesuffix(" s")) == pytest.approx(began + 0.8, abs=0.15)  # within 2 m after 8 of 10 m
    assert (player.frame.x == others).sum() == player.frame.goals.taken.sum() - 1  # type: ignore[union-attr]


def test_a_goal_is_for_where_the_run_has_got_to(player: Player) -> None:
    slot = someone(player)
    player.feed([], 1.0)
    time = player.state.time
    player.feed([pygame.event.Event(pygame.KEYDOWN, key=pygame.K_HOME, mod=0)], 0.0)
    send(player, slot, dx=10.0)
    assert player.state.time == pytest.approx(time, abs=1)


def test_a_right_click_or_escape_takes_goals_back(player: Player) -> None:
    slot = someone(player)
    run = player.clip.run
    assert run is not None
    escape = pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE, mod=0)
    send(player, slot, dx=10.0)
    click_agent(player, slot)
    player.feed([escape], 0.0)
    assert player.state.selected is None and not run.goals.valid.any() and not player.state.quit
    send(player, slot, dx=10.0)
    click(player, (5, 100), button=3)
    assert not run.goals.valid.any()
    stands = float(player.frame.x[slot])
    player.feed([], 0.5)
    assert player.frame.x[slot] == stands
    player.feed([escape], 0.0)  # nobody is selected: as ever
    assert player.state.quit


def test_who_begins_again_has_no_goals(player: Player) -> None:
    slot = someone(player)
    send(player, slot, dx=10.0)
    click_agent(player, slot)
    player.feed([pygame.event.Event(pygame.KEYDOWN, key=pygame.K_BACKSPACE, mod=0)], 0.0)
    assert player.state.selected is None and not player.clip.run.goals.valid.any()  # type: ignore[union-attr]


@pytest.mark.parametrize("background", ["idm", Taxi(takes_goals=False)], ids=["idm", "taxi"])
def test_a_driver_without_goals_is_named_and_its_agent_is_followed(background: str | Policy) -> None:
    player = player_of(background)
    slot = 1
    click_agent(player, slot)
    assert player.state.selected is None and player.state.follow == slot
    driver = "IDM" if background == "idm" else "policy"
    assert words(player, slot) == [f"agent {player.frame.id[slot]}: its driver ({driver}) takes no goals"]
    click(player, (5, 100))
    assert not player.state.sent and not words(player, slot)


def test_the_ego_of_a_run_takes_no_goals(player: Player) -> None:
    run = player.clip.run
    assert run is not None and player.frame.goals is not None
    assert not player.frame.goals.taken[run.ego]


def test_a_policy_that_drives_in_other_worlds_keeps_its_own_goals() -> None:
    taxi = Taxi()
    one, other = ClickedGoals(taxi), ClickedGoals(taxi)
    one.put(1, (3.0, 4.0))
    assert taxi.goals == "none" and one.taken
    world = World([make_scene()], control={"all": other.driver}, seeds=[0])
    assert not other.marks(world).valid.any() and other.marks(world).taken.all()
    assert ClickedGoals("idm").driver == "idm" and not ClickedGoals("idm").taken


def test_goals_are_drawn_where_they_are() -> None:
    frame = make_frame((0.0, 0.0, 0.0), (5.0, 5.0, 0.0))
    goals = Goals(xy=np.array([[10, 0], [0, 0]], np.float32), valid=np.array([True, False]), taken=np.ones(2, bool))
    painter, camera = Painter((200, 200)), Camera((0.0, 0.0), 8.0)
    plain = painter.paint(make_scene(), frame, camera)
    shown = painter.paint(make_scene(), make_frame(*_poses(frame), goals=goals, selected=1), camera)
    changed = np.argwhere((shown != plain).any(-1))
    is_goal = (np.abs(shown.astype(int) - DARK.goal) < 30).all(-1)
    assert is_goal[100, 180]  # 10 m to the right of the middle
    assert is_goal[100, 120:170].any()  # on the way there
    assert changed[:, 1].max() < 195 and changed[:, 0].max() < 115  # nothing elsewhere
    assert is_goal[60 - 20 : 60 + 20, 140 - 30 : 140 + 30].any()  # around who is selected, at (5, 5)


def _poses(frame: object) -> list[tuple[float, float, float]]:
    return list(zip(frame.x.tolist(), frame.y.tolist(), frame.yaw.tolist(), strict=True))  # type: ignore[attr-defined]
