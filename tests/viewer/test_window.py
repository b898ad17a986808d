"""The window itself, on SDL's dummy driver."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pygame
import pytest

from tests.scene.make_scene import make_scene
from trafficgym.viewer.clip import clip_of_log
from trafficgym.viewer.player import Player, play
from trafficgym.viewer.player_state import BAR
from trafficgym.viewer.playlist import Playlist
from trafficgym.viewer.window import Window


@pytest.fixture(autouse=True)
def _closed_display():
    yield
    pygame.display.quit()


@pytest.fixture
def playlist() -> Playlist:
    scenes = [make_scene("one"), make_scene("two", num_steps=20)]
    return Playlist(num_scenes=2, load=lambda k: clip_of_log(scenes[k]))


def key(code: int) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYDOWN, key=code, mod=0)


def test_the_player_follows_changes_scene_and_takes_a_picture(playlist, tmp_path):
    player = Player(playlist, size=(300, 200), pictures=tmp_path)
    player.feed([key(pygame.K_f)], 1.0)
    assert player.state.camera.center == pytest.approx((player.frame.x[0], 0.0))
    player.feed([key(pygame.K_n), key(pygame.K_h), key(pygame.K_s)], 0.0)
    assert (player.clip.scene.id, player.state.num_steps, player.state.follow) == ("two", 20, None)
    surface = pygame.Surface(player.state.size)
    player.draw(surface)
    saved = pygame.image.load(tmp_path / "two_000.png")
    assert saved.get_size() == (300, 200)
    assert not player.state.wants_picture
    player.feed([pygame.event.Event(pygame.VIDEORESIZE, w=500, h=400, size=(500, 400))], 0.0)
    player.draw(pygame.Surface(player.state.size))
    assert player.state.picture_size == (500, 400 - BAR)


def test_scenes_of_unknown_number_go_round_once_the_end_was_found(playlist):
    player = Player(replace(playlist, num_scenes=None), size=(300, 200))
    player.feed([key(pygame.K_p), key(pygame.K_n)], 0.0)
    assert (player.clip.scene.id, player.state.num_scenes) == ("two", None)
    player.feed([key(pygame.K_n)], 0.0)
    assert (player.clip.scene.id, player.state.num_scenes) == ("one", 2)


def test_play_returns_when_it_is_closed(playlist):
    pygame.display.init()
    pygame.event.post(key(pygame.K_q))
    play(playlist, size=(300, 200))
    assert not pygame.display.get_init()


def test_a_window_shows_arrays_until_it_is_closed():
    window = Window(fps=1000)
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[10, 20] = (255, 128, 7)
    window.show(picture)
    assert pygame.display.get_surface().get_at((20, 10))[:3] == (255, 128, 7)
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    window.show(picture)
    assert not window.is_open
    window.show(picture)
    window.close()
    assert not pygame.display.get_init()


def test_without_a_display_the_error_names_the_remedy():
    code = (
        "import numpy as np; from trafficgym.viewer.window import Window; Window().show(np.zeros((9, 9, 3), np.uint8))"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "no display to open a window on; write a film with `trafficgym record" in done.stderr


def test_a_state_that_has_not_changed_is_not_drawn_again(playlist):
    player = Player(playlist, size=(300, 200))
    player.feed([key(pygame.K_SPACE)], 0.0)
    before = player.state
    player.feed([], 0.5)
    assert player.state == before
    assert replace(before, time=1.0) != before
