"""Keys and mouse, without a window."""

from __future__ import annotations

from dataclasses import replace

import pygame
import pytest

from tests.viewer.make_frame import make_frame
from trafficgym.viewer.camera import Camera
from trafficgym.viewer.player_state import BAR, PlayerState, advance, handle, timeline

START = PlayerState(size=(400, 300 + BAR), num_steps=91, num_scenes=3, camera=Camera((0.0, 0.0), 10.0), time=40.0)
FRAME = make_frame((0.0, 0.0, 0.0), (10.0, 5.0, 1.57), (-10.0, 5.0, 0.0), focus=1)


def press(state: PlayerState, *keys: int, mod: int = 0) -> PlayerState:
    for key in keys:
        state = handle(state, pygame.event.Event(pygame.KEYDOWN, key=key, mod=mod), FRAME)
    return state


def mouse(state: PlayerState, kind: int, pos: tuple[int, int], rel: tuple[int, int] = (0, 0)) -> PlayerState:
    return handle(state, pygame.event.Event(kind, pos=pos, rel=rel, button=1, buttons=(1, 0, 0)), FRAME)


def test_time_passes_at_ten_steps_a_second_times_the_speed_and_stops_at_the_end():
    assert advance(START, 0.5).time == pytest.approx(45)
    assert advance(press(START, pygame.K_UP), 0.5).time == pytest.approx(50)
    assert advance(press(START, pygame.K_DOWN), 0.5).time == pytest.approx(42.5)
    end = advance(START, 60.0)
    assert (end.time, end.playing) == (90.0, False)
    assert press(end, pygame.K_SPACE).time == 0.0, "play at the end begins anew"


def test_space_pauses_and_plays():
    paused = press(START, pygame.K_SPACE)
    assert advance(paused, 1.0).time == START.time
    assert press(paused, pygame.K_SPACE).playing


@pytest.mark.parametrize(
    ("keys", "mod", "time"),
    [
        ([pygame.K_RIGHT], 0, 41),
        ([pygame.K_PERIOD, pygame.K_PERIOD], 0, 42),
        ([pygame.K_COMMA], 0, 39),
        ([pygame.K_LEFT], pygame.KMOD_SHIFT, 30),
        ([pygame.K_HOME, pygame.K_LEFT], 0, 0),
        ([pygame.K_END, pygame.K_RIGHT], 0, 90),
    ],
)
def test_stepping_pauses_and_stays_within_the_scene(keys, mod, time):
    state = press(START, *keys, mod=mod)
    assert (state.time, state.playing) == (time, False)


def test_stepping_back_from_between_two_steps_goes_to_the_nearer_one():
    assert press(replace(START, time=40.4), pygame.K_LEFT).time == 40


def test_scrubbing_goes_where_the_mouse_is():
    left, right = timeline(START)
    y = 300 + BAR // 2
    state = mouse(START, pygame.MOUSEBUTTONDOWN, (round(left), y))
    assert state.time == 0
    assert advance(state, 1.0).time == 0, "held, it does not play on"
    state = mouse(state, pygame.MOUSEMOTION, (round((left + right) / 2), 10))
    assert state.time == pytest.approx(45, abs=1)
    state = mouse(mouse(state, pygame.MOUSEMOTION, (5000, y)), pygame.MOUSEBUTTONUP, (5000, y))
    assert (state.time, state.drag) == (90, "")


def test_a_click_on_an_agent_follows_it_and_beside_it_lets_go():
    def click(state: PlayerState, pos: tuple[int, int]) -> PlayerState:
        return mouse(mouse(state, pygame.MOUSEBUTTONDOWN, pos), pygame.MOUSEBUTTONUP, pos)

    state = click(START, (200 + 100, 150 - 50))  # agent 1 at (10, 5) m, y up
    assert state.follow == 1
    assert click(state, (20, 20)).follow is None


def test_dragging_moves_the_picture_with_the_mouse_and_ends_following():
    state = replace(START, follow=0)
    state = mouse(state, pygame.MOUSEBUTTONDOWN, (100, 100))
    state = mouse(state, pygame.MOUSEMOTION, (130, 80), (30, -20))
    assert state.camera.center == pytest.approx((-3.0, -2.0))
    assert state.follow is None


def test_tab_goes_round_and_f_follows_the_ego():
    state = press(START, pygame.K_f)
    assert state.follow == 1
    assert press(state, pygame.K_TAB).follow == 2
    assert press(state, pygame.K_TAB, pygame.K_TAB).follow == 0
    assert press(state, pygame.K_TAB, mod=pygame.KMOD_SHIFT).follow == 0
    assert press(state, pygame.K_f).follow is None
    nobody = handle(START, pygame.event.Event(pygame.KEYDOWN, key=pygame.K_TAB, mod=0), make_frame())
    assert nobody.follow is None


def test_the_wheel_zooms_about_the_mouse():
    event = pygame.event.Event(pygame.MOUSEWHEEL, y=1, at=(300, 100))
    point = START.camera.to_scene((300, 100), START.picture_size)
    zoomed = handle(START, event, FRAME).camera
    assert zoomed.scale == pytest.approx(12.0)
    assert zoomed.to_screen(point, START.picture_size) == pytest.approx((300, 100), abs=1.2)


@pytest.mark.parametrize(
    ("key", "name"),
    [(pygame.K_i, "ids"), (pygame.K_t, "trails"), (pygame.K_g, "ghosts"), (pygame.K_l, "legend")],
)
def test_toggles(key, name):
    once = press(START, key)
    assert getattr(once.style, name) != getattr(START.style, name)
    assert press(once, key).style == START.style


def test_scenes_go_round():
    assert press(START, pygame.K_p).scene == 2
    assert press(START, pygame.K_n, pygame.K_n, pygame.K_n).scene == 0


def test_escape_closes_the_help_first():
    state = press(START, pygame.K_h, pygame.K_ESCAPE)
    assert (state.show_help, state.quit) == (False, False)
    assert press(state, pygame.K_ESCAPE).quit
    assert handle(START, pygame.event.Event(pygame.QUIT), FRAME).quit


def test_an_unknown_event_changes_nothing():
    assert handle(START, pygame.event.Event(pygame.USEREVENT), FRAME) is START
    assert press(START, pygame.K_F9) is START
