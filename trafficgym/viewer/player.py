"""The player: a window with time, a view that moves, and keys. The thin loop around `player_state`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygame

from trafficgym.viewer.camera import Camera, fit
from trafficgym.viewer.ego_driver import Pedals
from trafficgym.viewer.frame import Frame
from trafficgym.viewer.overlay import SMALL
from trafficgym.viewer.painter import Painter
from trafficgym.viewer.palette import Palette
from trafficgym.viewer.player_state import BAR, HELP, LIVE_HELP, PlayerState, advance, handle, timeline
from trafficgym.viewer.playlist import Playlist
from trafficgym.viewer.raster import draw_boxes
from trafficgym.viewer.record import record
from trafficgym.viewer.surface import surface_of
from trafficgym.viewer.text import line_height, render
from trafficgym.viewer.window import open_display

FPS = 60
LIVE_SCALE = 6.0  # px/m: at 33 m/s some three seconds ahead
LOOK_AHEAD = 0.22  # of the height of the picture, by which who is followed is below its middle


class Player:
    """A `PlayerState`, the clip that it plays, and the painter that draws it.

    Args:
        pictures: Folder that screenshots go to.
    """

    def __init__(
        self, playlist: Playlist, *, scene: int = 0, size: tuple[int, int] = (1000, 800), pictures: Path = Path()
    ) -> None:
        self._playlist, self._pictures = playlist, pictures
        self._loaded: tuple[int, int] | None = None
        self.state = PlayerState(size=(size[0], size[1] + BAR), num_scenes=playlist.num_scenes, scene=scene)
        self._load()

    def _load(self) -> None:
        try:
            self.clip = self._playlist.load(self.state.scene)
        except IndexError:  # now the number of scenes is known
            self.state = replace(self.state, num_scenes=self.state.scene, scene=0)
            self.clip = self._playlist.load(0)
        is_again = self._loaded is not None and self._loaded[0] == self.state.scene
        self._loaded = (self.state.scene, self.state.attempt)
        self.state = replace(
            self.state,
            num_steps=self.clip.num_steps,
            time=0.0,
            playing=True,
            live=self.clip.run is not None,
            drives=False,
            held=frozenset(),
            selected=None,
            notice="",
        )
        if not is_again:
            self._look()
        self._painter = Painter(self.state.picture_size, self.state.style)
        self._settle()

    def _look(self) -> None:
        """Choose where to look from: at everything; at the ego, driving upwards, where keys can drive it."""
        self.state = replace(self.state, follow=None, wants_fit=True)
        if self.clip.run is not None:
            ego, frame = self.clip.run.ego, self.clip.at(0)
            camera = Camera(scale=LIVE_SCALE, rotation=float(frame.yaw[ego]) - np.pi / 2)
            self.state = replace(self.state, follow=ego, wants_fit=False, camera=camera)

    def _settle(self) -> None:
        """Bring camera and painter in line with the state."""
        if self.state.wants_fit:
            camera = fit(self.clip.scene, self.state.picture_size)
            self.state = replace(self.state, camera=camera, wants_fit=False)
        if self._painter.size != self.state.picture_size:
            self._painter = Painter(self.state.picture_size, self.state.style)
        self._painter.style = self.state.style
        self.frame = self.clip.at(self.state.time)
        if self.clip.run is not None:
            text = (*self.frame.text, self.state.notice) if self.state.notice else self.frame.text
            self.frame = replace(self.frame, goals=self.clip.run.goals, selected=self.state.selected, text=text)
        follow = self.state.follow
        if follow is not None:
            self.frame = replace(self.frame, focus=follow)
            if self.frame.present[follow]:
                camera = self.state.camera.at(self.frame.x[follow], self.frame.y[follow])
                if self.state.live:  # a driver looks ahead, which is up
                    camera = camera.pan(0, LOOK_AHEAD * self.state.picture_size[1])
                self.state = replace(self.state, camera=camera)

    def feed(self, events: list[pygame.event.Event], seconds: float) -> None:
        """Take what has happened, and let `seconds` pass."""
        for event in events:
            self.state = handle(self.state, event, self.frame)
        self.state = advance(self.state, seconds)
        if (self.state.scene, self.state.attempt) != self._loaded:
            self._load()
        self._drive()
        self._send()
        self._settle()

    def _drive(self) -> None:
        """Pass on what drives; keys act where the run has got to, not on what was played."""
        run = self.clip.run
        if run is None or run.driver is None:
            return
        held = self.state.held
        run.driver.by_keys = self.state.drives
        run.driver.pedals = Pedals(
            *(key in held for key in (pygame.K_UP, pygame.K_DOWN, pygame.K_LEFT, pygame.K_RIGHT))
        )
        if held and self.state.time < run.num_played - 2:
            self.state = replace(self.state, time=float(run.num_played - 1))

    def _send(self) -> None:
        """Pass on goals; they count, too, from where the run has got to."""
        run, sent = self.clip.run, self.state.sent
        self.state = replace(self.state, sent=())
        if run is None or not sent:
            return
        for slot, goal in sent:
            run.send(slot, goal)
        self.state = replace(self.state, time=max(self.state.time, float(run.num_played - 1)))

    def draw(self, surface: pygame.Surface) -> None:
        """Draw picture and bar onto `surface`, which has the state's `size`; save a picture where one is wanted."""
        surface.blit(self._painter.draw(self.clip.scene, self.frame, self.state.camera), (0, 0))
        palette = self.state.style.palette
        surface.blit(draw_bar(self.state, self.frame, palette), (0, self.state.picture_size[1]))
        if self.state.show_help:
            card = help_card(palette, LIVE_HELP if self.state.live else HELP)
            surface.blit(card, card.get_rect(center=(self.state.size[0] // 2, self.state.picture_size[1] // 2)))
        if self.state.wants_picture:
            name = f"{self.clip.scene.id.replace('/', '-')}_{round(self.state.time):03d}.png"
            pixels = pygame.surfarray.array3d(self._painter.surface).swapaxes(0, 1)
            record([pixels], self._pictures / name)
            self.state = replace(self.state, wants_picture=False)


def play(playlist: Playlist, *, scene: int = 0, size: tuple[int, int] = (1000, 800)) -> None:
    """Open the window and return when it is closed.

    Raises:
        DisplayError: there is no display.
    """
    surface = open_display((size[0], size[1] + BAR), "trafficgym")
    try:
        player, clock, last = Player(playlist, scene=scene, size=size), pygame.time.Clock(), time.perf_counter()
        drawn: PlayerState | None = None
        while not player.state.quit:
            now = time.perf_counter()
            player.feed(pygame.event.get(), min(now - last, 0.25))
            last = now
            if player.state != drawn:  # a paused player costs nothing
                surface = pygame.display.get_surface() or surface
                pygame.display.set_caption(f"{player.clip.title or player.clip.scene.id} - trafficgym")
                player.draw(surface)
                pygame.display.flip()
                drawn = player.state
            clock.tick(FPS)
    finally:
        pygame.display.quit()


def draw_bar(state: PlayerState, frame: Frame, palette: Palette) -> pygame.Surface:
    """The timeline: play or pause, where we are, step and speed."""
    canvas = np.empty((BAR, state.size[0], 3), np.uint8)
    canvas[:] = palette.panel
    left, right = timeline(state)
    middle = BAR / 2
    share = state.time / max(state.num_steps - 1, 1)
    knob = left + share * (right - left)
    rows = [_rail(left, right, middle, palette.lane_center), _rail(left, knob, middle, palette.accent)]
    rows.append([knob, middle, 1, 0, 7, 7, 7, 0, 1, *palette.text, 1])
    if state.playing:
        rows += [[x, middle, 1, 0, 2, 7, 1, 0, 1, *palette.text, 1] for x in (22, 30)]
    else:  # a triangle from three slats is a triangle at this size
        rows += [[20 + 1.5 * k, middle, 1, 0, 1.0, 8 - k, 0.5, 0, 1, *palette.text, 1] for k in range(9)]
    draw_boxes(canvas, np.array(rows, np.float64))
    surface = surface_of(canvas)
    words = f"{int(state.time)} / {state.num_steps - 1}   x{state.speed:g}"
    if state.num_scenes != 1 and not state.live:
        words += f"   {state.scene + 1}/{state.num_scenes or '?'}"
    text = render(words, SMALL, palette.text_dim)
    surface.blit(text, (right + 16, round(middle - text.get_height() / 2)))
    return surface


def _rail(left: float, right: float, y: float, color: tuple[int, int, int]) -> list[float]:
    return [(left + right) / 2, y, 1, 0, max((right - left) / 2, 0.1), 2, 2, 0, 1, *color, 1]


def help_card(palette: Palette, lines: Sequence[tuple[str, str]] = HELP) -> pygame.Surface:
    """All keys and what they do."""
    step = line_height(SMALL) + 8
    width, height = 470, step * len(lines) + 32
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = palette.panel
    surface = surface_of(canvas)
    pygame.draw.rect(surface, palette.lane_center, surface.get_rect(), 1)
    for row, (keys, what) in enumerate(lines):
        surface.blit(render(keys, SMALL, palette.accent), (20, 18 + step * row))
        surface.blit(render(what, SMALL, palette.text), (150, 18 + step * row))
    return surface
