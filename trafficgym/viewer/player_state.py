"""What the player does with keys and mouse: a pure function from state and event to the next state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pygame

from trafficgym.viewer.camera import Camera
from trafficgym.viewer.frame import Frame
from trafficgym.viewer.painter import Style
from trafficgym.viewer.palette import DRIVER_LABELS
from trafficgym.world.state import Driver

BAR = 36  # px, height of the timeline below the picture
STEPS_PER_SECOND = 10.0
SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
ZOOM = 1.2
ARROWS = frozenset({pygame.K_UP, pygame.K_DOWN, pygame.K_LEFT, pygame.K_RIGHT})
CLICK = 4  # px, a press that moves less is a click

HELP = (
    ("space", "play, pause"),
    ("left right  , .", "one step; with shift ten"),
    ("home end", "first, last step"),
    ("up down", "faster, slower"),
    ("wheel  + -", "zoom"),
    ("drag", "move the picture, or the time on the bar"),
    ("click  tab  f", "follow what is clicked, the next agent, the ego"),
    ("r", "see everything again"),
    ("i t g l", "ids, trails, log ghosts, legend"),
    ("n p", "next, previous scene"),
    ("s", "save a picture"),
    ("h", "this help"),
    ("q  esc", "quit"),
)
LIVE_HELP = (
    ("arrows", "take over the ego: throttle, brake, steer"),
    ("a", "hand the ego back to IDM, which follows its lane"),
    ("backspace", "begin again"),
    ("n p", "next, previous seed"),
    ("space", "play, pause"),
    (", .", "one step; with shift ten"),
    ("home end", "first, last step"),
    ("[ ]", "slower, faster"),
    ("wheel  + -", "zoom"),
    ("drag", "move the picture, or the time on the bar:"),
    ("", "back to what was played, or on with the run"),
    ("click  tab  f", "follow what is clicked, the next agent, the ego"),
    ("click, click", "an agent, and where it is to go, if its driver takes goals"),
    ("right click  esc", "take the goal back; right click again: all goals"),
    ("r", "see everything"),
    ("i t l", "ids, trails, legend"),
    ("s", "save a picture"),
    ("h", "this help"),
    ("q  esc", "quit"),
)


@dataclass(frozen=True, kw_only=True)
class PlayerState:
    """Everything that the window shows or will do next."""

    size: tuple[int, int] = (800, 836)  # px of the window, the bar included
    camera: Camera = field(default_factory=Camera)
    style: Style = field(default_factory=Style)
    num_scenes: int | None = 1  # None: not known yet
    scene: int = 0
    num_steps: int = 1
    time: float = 0.0  # steps, between 0 and num_steps - 1
    playing: bool = True
    speed: float = 1.0
    follow: int | None = None  # object in the frame
    show_help: bool = False
    drag: Literal["", "pan", "scrub"] = ""
    moved: int = 0  # px since the button went down
    live: bool = False  # the arrows drive the ego
    held: frozenset[int] = frozenset()  # keys that drive and are down
    drives: bool = False  # the ego is driven by keys
    selected: int | None = None  # object that gets the next goal
    sent: tuple[tuple[int, tuple[float, float] | None], ...] = ()  # goals that the loop passes on and clears
    notice: str = ""  # the last line of the text
    attempt: int = 0  # how often the run was begun anew
    wants_fit: bool = False  # the loop fits the camera and clears this
    wants_picture: bool = False  # the loop saves a picture and clears this
    quit: bool = False

    @property
    def picture_size(self) -> tuple[int, int]:
        """Pixels (width, height) of the picture above the bar."""
        return self.size[0], max(self.size[1] - BAR, 16)


def advance(state: PlayerState, seconds: float) -> PlayerState:
    """Let `seconds` of the wall clock pass; at the end of the scene it pauses."""
    if not state.playing or state.drag == "scrub":
        return state
    time, last = state.time + seconds * STEPS_PER_SECOND * state.speed, state.num_steps - 1
    return replace(state, time=float(min(time, last)), playing=time < last)


def handle(state: PlayerState, event: pygame.event.Event, frame: Frame) -> PlayerState:
    """The state after a pygame `event`, `frame` being what is on the screen. Unknown events change nothing."""
    if event.type == pygame.QUIT:
        return replace(state, quit=True)
    if event.type == pygame.VIDEORESIZE:
        return replace(state, size=(max(event.w, 200), max(event.h, 200)))
    if event.type == pygame.KEYDOWN:
        return _press_live(state, event, frame) if state.live else _press(state, event, frame)
    if event.type in (pygame.KEYUP, pygame.WINDOWFOCUSLOST):  # whoever leaves the window lets go of everything
        return replace(state, held=state.held - {event.key} if event.type == pygame.KEYUP else frozenset())
    if event.type == pygame.MOUSEWHEEL:
        return _zoom(state, ZOOM**event.y, getattr(event, "at", None) or pygame.mouse.get_pos())
    if event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
        on_bar = event.pos[1] >= state.picture_size[1]
        state = replace(state, drag="scrub" if on_bar else "pan", moved=0)
        return _scrub(state, event.pos[0]) if on_bar else state
    if event.type == pygame.MOUSEMOTION and state.drag:
        return _drag(state, event)
    if event.type == pygame.MOUSEBUTTONUP and event.button == 1:
        clicked = state.drag == "pan" and state.moved < CLICK
        state = replace(state, drag="")
        return _click(state, event.pos, frame) if clicked else state
    if event.type == pygame.MOUSEBUTTONDOWN and event.button == 3 and event.pos[1] < state.picture_size[1]:
        return _take_back(state, frame)
    return state


def _click(state: PlayerState, pixel: tuple[int, int], frame: Frame) -> PlayerState:
    """Select an agent that can have a goal, and then its goal; follow others."""
    agent, goals = _agent_at(state, pixel, frame), frame.goals
    if agent is not None and goals is not None:
        if goals.taken[agent]:
            return replace(state, selected=agent, notice=f"agent {frame.id[agent]}: click where it is to go")
        driver = Driver(int(frame.controller[agent]))
        word = frame.driver_labels.get(driver, DRIVER_LABELS.get(driver, "nobody"))
        state = replace(state, selected=None, notice=f"agent {frame.id[agent]}: its driver ({word}) takes no goals")
    elif agent is None and state.selected is not None:
        x, y = state.camera.to_scene(pixel, state.picture_size).tolist()
        return replace(state, selected=None, sent=(*state.sent, (state.selected, (x, y))), notice="")
    return replace(state, follow=agent, notice=state.notice if agent is not None else "")


def _take_back(state: PlayerState, frame: Frame) -> PlayerState:
    """Let the selected agent go where it likes, or, without one, all of them."""
    if frame.goals is None:
        return state
    slots = np.flatnonzero(frame.goals.valid).tolist() if state.selected is None else [state.selected]
    return replace(state, selected=None, sent=(*state.sent, *((slot, None) for slot in slots)), notice="")


def _press(state: PlayerState, event: pygame.event.Event, frame: Frame) -> PlayerState:
    jump = 10 if event.mod & pygame.KMOD_SHIFT else 1
    if event.key in (pygame.K_RIGHT, pygame.K_PERIOD):
        return _go(state, int(state.time) + jump)
    if event.key in (pygame.K_LEFT, pygame.K_COMMA):
        return _go(state, int(np.ceil(state.time)) - jump)
    if event.key == pygame.K_TAB:
        return replace(state, follow=_next_agent(state, frame, -1 if jump > 1 else 1))
    if event.key == pygame.K_f:
        return replace(state, follow=frame.focus if state.follow is None else None)
    act = _KEYS.get(event.key)
    return act(state) if act else state


def _press_live(state: PlayerState, event: pygame.event.Event, frame: Frame) -> PlayerState:
    if event.key == pygame.K_ESCAPE and state.selected is not None and not state.show_help:
        return _take_back(state, frame)
    if event.key in ARROWS:
        return replace(state, held=state.held | {event.key}, drives=True)
    act = _LIVE_KEYS.get(event.key)
    return act(state) if act else _press(state, event, frame)


def _go(state: PlayerState, step: float) -> PlayerState:
    return replace(state, time=float(min(max(step, 0), state.num_steps - 1)), playing=False)


def _toggle_play(state: PlayerState) -> PlayerState:
    at_end = state.time >= state.num_steps - 1
    return replace(state, playing=not state.playing, time=0.0 if at_end and not state.playing else state.time)


def _change_speed(state: PlayerState, by: int) -> PlayerState:
    return replace(state, speed=SPEEDS[min(max(SPEEDS.index(state.speed) + by, 0), len(SPEEDS) - 1)])


def _change_scene(state: PlayerState, by: int) -> PlayerState:
    scene = state.scene + by
    return replace(state, scene=max(scene, 0) if state.num_scenes is None else scene % state.num_scenes)


def _toggle(name: str) -> Callable[[PlayerState], PlayerState]:
    def toggle(state: PlayerState) -> PlayerState:
        change: dict[str, Any] = {name: not getattr(state.style, name)}
        return replace(state, style=replace(state.style, **change))

    return toggle


def _zoom(state: PlayerState, factor: float, at: tuple[float, float] | None = None) -> PlayerState:
    size = state.picture_size
    if at is None or state.follow is not None:  # who follows somebody keeps it in the middle
        at = (size[0] / 2, size[1] / 2)
    return replace(state, camera=state.camera.zoom(factor, at, size))


_KEYS: dict[int, Callable[[PlayerState], PlayerState]] = {
    pygame.K_SPACE: _toggle_play,
    pygame.K_HOME: lambda s: _go(s, 0),
    pygame.K_END: lambda s: _go(s, s.num_steps - 1),
    pygame.K_UP: lambda s: _change_speed(s, 1),
    pygame.K_DOWN: lambda s: _change_speed(s, -1),
    pygame.K_PLUS: lambda s: _zoom(s, ZOOM),
    pygame.K_EQUALS: lambda s: _zoom(s, ZOOM),
    pygame.K_KP_PLUS: lambda s: _zoom(s, ZOOM),
    pygame.K_MINUS: lambda s: _zoom(s, 1 / ZOOM),
    pygame.K_KP_MINUS: lambda s: _zoom(s, 1 / ZOOM),
    pygame.K_r: lambda s: replace(s, follow=None, wants_fit=True),
    pygame.K_i: _toggle("ids"),
    pygame.K_t: _toggle("trails"),
    pygame.K_g: _toggle("ghosts"),
    pygame.K_l: _toggle("legend"),
    pygame.K_n: lambda s: _change_scene(s, 1),
    pygame.K_p: lambda s: _change_scene(s, -1),
    pygame.K_s: lambda s: replace(s, wants_picture=True),
    pygame.K_h: lambda s: replace(s, show_help=not s.show_help),
    pygame.K_q: lambda s: replace(s, quit=True),
    pygame.K_ESCAPE: lambda s: replace(s, show_help=False) if s.show_help else replace(s, quit=True),
}

_LIVE_KEYS: dict[int, Callable[[PlayerState], PlayerState]] = {
    pygame.K_a: lambda s: replace(s, drives=False, held=frozenset()),
    pygame.K_BACKSPACE: lambda s: replace(s, attempt=s.attempt + 1),
    pygame.K_LEFTBRACKET: lambda s: _change_speed(s, -1),
    pygame.K_RIGHTBRACKET: lambda s: _change_speed(s, 1),
}


def _drag(state: PlayerState, event: pygame.event.Event) -> PlayerState:
    if state.drag == "scrub":
        return _scrub(state, event.pos[0])
    state = replace(state, moved=state.moved + abs(event.rel[0]) + abs(event.rel[1]))
    if state.moved < CLICK:
        return state
    return replace(state, follow=None, camera=state.camera.pan(*event.rel))


def timeline(state: PlayerState) -> tuple[float, float]:
    """Left and right end of the timeline on the bar, px."""
    return 58.0, state.size[0] - 150.0


def _scrub(state: PlayerState, x: float) -> PlayerState:
    left, right = timeline(state)
    step = round((x - left) / (right - left) * (state.num_steps - 1))
    return replace(state, time=float(min(max(step, 0), state.num_steps - 1)))


def _agent_at(state: PlayerState, pixel: tuple[int, int], frame: Frame) -> int | None:
    """The present object whose box, widened by 6 px, holds the pixel and whose centre is nearest; None for none."""
    point = state.camera.to_scene(pixel, state.picture_size)
    dx, dy = point[0] - frame.x, point[1] - frame.y
    cos, sin = np.cos(frame.yaw), np.sin(frame.yaw)
    slack = 6 / state.camera.scale
    inside = (np.abs(dx * cos + dy * sin) < frame.length / 2 + slack) & frame.present
    inside &= np.abs(dy * cos - dx * sin) < frame.width / 2 + slack
    return int(np.argmin(np.where(inside, np.hypot(dx, dy), np.inf))) if inside.any() else None


def _next_agent(state: PlayerState, frame: Frame, by: int) -> int | None:
    present = np.flatnonzero(frame.present)
    if not len(present):
        return None
    if state.follow is None:
        return frame.focus if frame.focus is not None and frame.present[frame.focus] else int(present[0])
    after = np.searchsorted(present, state.follow, side="right" if by > 0 else "left") + (by if by < 0 else 0)
    return int(present[after % len(present)])
