"""Pixels that mean something: where an agent is, how it points, what colour says what."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from tests.viewer.make_frame import make_frame
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import RoadMap, SignalState
from trafficgym.viewer import DARK, Camera, Painter, Style, fit, frame_of_log
from trafficgym.viewer.frame import Ghosts, Lamps, Trails
from trafficgym.world.events import Event
from trafficgym.world.state import Driver

BARE = Style(trails=False, ghosts=False, legend=False, hud=False)
EMPTY = replace(make_scene(), road=RoadMap.empty(), signals=make_scene().signals.empty(91))
SIZE = (200, 160)
CAMERA = Camera((50.0, 20.0), 10.0)


def near(pixel: np.ndarray, color: tuple[int, int, int], tolerance: int = 40) -> bool:
    return bool(np.abs(pixel.astype(int) - color).max() <= tolerance)


def where(picture: np.ndarray, color: tuple[int, int, int]) -> tuple[float, float, float, float]:
    """Extent of the pixels of a colour: x low, x high, y low, y high."""
    rows, columns = np.nonzero((np.abs(picture.astype(int) - color) < 20).all(axis=-1))
    return columns.min(), columns.max() + 1, rows.min(), rows.max() + 1


def test_the_screen_has_y_up_and_the_scene_scale():
    frame = make_frame((52.0, 22.0, 0.0))  # 2 m right of and 2 m above the middle: pixel (120, 60)
    picture = Painter(SIZE, BARE).paint(EMPTY, frame, CAMERA)
    assert picture.shape == (160, 200, 3)
    x_low, x_high, y_low, y_high = where(picture, DARK.drivers[Driver.IDM])
    assert (x_low, x_high) == pytest.approx((100, 140), abs=2)  # 4 m
    assert (y_low, y_high) == pytest.approx((50, 70), abs=2)  # 2 m


def test_yaw_turns_counter_clockwise_and_the_windscreen_is_in_front():
    up = Painter(SIZE, BARE).paint(EMPTY, make_frame((50.0, 20.0, np.pi / 2)), CAMERA)
    x_low, x_high, y_low, y_high = where(up, DARK.drivers[Driver.IDM])
    assert (x_high - x_low, y_high - y_low) == pytest.approx((20, 40), abs=4)
    assert near(up[80 - 8, 100], DARK.glass), "windscreen 0.8 m towards +y, which is up"
    assert not near(up[80 + 8, 100], DARK.glass)
    # Pointing to the upper right: its front right of and above the middle, nothing at the upper left.
    slant = Painter(SIZE, BARE).paint(EMPTY, make_frame((50.0, 20.0, np.pi / 4)), CAMERA)
    assert not near(slant[80 - 12, 100 + 12], DARK.ground)
    assert near(slant[80 - 12, 100 - 12], DARK.ground)


def test_a_turned_camera_shows_a_car_that_drives_north_pointing_right():
    camera = replace(CAMERA, rotation=np.pi / 2)
    picture = Painter(SIZE, BARE).paint(EMPTY, make_frame((50.0, 20.0, np.pi / 2)), camera)
    assert near(picture[80, 100 + 8], DARK.glass)


@pytest.mark.parametrize("driver", [d for d in Driver if d != Driver.NONE])
def test_the_body_has_the_colour_of_its_driver(driver):
    frame = make_frame((50.0, 20.0, 0.0), controller=np.array([driver], np.int8))
    picture = Painter(SIZE, BARE).paint(EMPTY, frame, CAMERA)
    assert near(picture[80 - 8, 100 - 8], DARK.drivers[driver], 4)


def test_what_is_absent_is_not_drawn():
    frame = make_frame((50.0, 20.0, 0.0), present=np.array([False]))
    empty = Painter(SIZE, BARE).paint(EMPTY, make_frame(), CAMERA)
    np.testing.assert_array_equal(Painter(SIZE, BARE).paint(EMPTY, frame, CAMERA), empty)


@pytest.mark.parametrize("event", [Event.COLLISION, Event.OFF_ROAD, Event.WRONG_WAY, Event.RED_LIGHT])
def test_an_infraction_is_ringed_in_its_colour(event):
    frame = make_frame((50.0, 20.0, 0.0), state=np.array([event], np.uint8))
    picture = Painter(SIZE, BARE).paint(EMPTY, frame, CAMERA)
    assert near(picture[80 + 10 + 3, 100], DARK.events[event])
    fine = Painter(SIZE, BARE).paint(EMPTY, make_frame((50.0, 20.0, 0.0)), CAMERA)
    assert not near(fine[80 + 10 + 3, 100], DARK.events[event])


def test_the_gravest_of_several_infractions_gives_the_ring():
    frame = make_frame((50.0, 20.0, 0.0), state=np.array([Event.COLLISION | Event.OFF_ROAD], np.uint8))
    assert near(Painter(SIZE, BARE).paint(EMPTY, frame, CAMERA)[80 + 10 + 3, 100], DARK.events[Event.COLLISION])


@pytest.mark.parametrize(
    ("state", "color"),
    [
        (SignalState.STOP, DARK.signal_red),
        (SignalState.ARROW_STOP, DARK.signal_red),
        (SignalState.CAUTION, DARK.signal_amber),
        (SignalState.GO, DARK.signal_green),
        (SignalState.UNKNOWN, DARK.signal_unknown),
    ],
)
def test_a_signal_shows_its_state(state, color):
    lamps = Lamps(
        state=np.array([state], np.int8),
        stop=np.array([[100.0, 0.0, 0.0]], np.float32),
        lane=np.array([1], np.int32),
        valid=np.ones(1, bool),
    )
    picture = Painter(SIZE, BARE).paint(make_scene(), make_frame(lamps=lamps), Camera((100.0, 0.0), 10.0))
    assert near(picture[80, 100], color, 2)
    # Lane 1 runs east, so the bar of a red signal reaches 1.5 m to the north and south.
    has_bar = near(picture[80 - 11, 100], color, 60) and near(picture[80 + 11, 100], color, 60)
    assert has_bar == (color == DARK.signal_red)


def test_the_road_lies_between_its_edges():
    picture = Painter(SIZE, BARE).paint(make_scene(), make_frame(), Camera((50.0, 1.75), 10.0))
    # Edges at y = -1.75 and 5.25, thus 35 px below and above the middle; the broken line in the middle.
    for row in (80 + 20, 80 - 20):
        assert near(picture[row, 90], DARK.surface, 4)
    for row in (80 + 34, 80 - 36):
        assert near(picture[row, 90], DARK.edge, 30)
    for row in (80 + 45, 80 - 45):
        assert near(picture[row, 90], DARK.ground, 4)


def test_a_broken_line_is_painted_three_metres_in_twelve():
    picture = Painter((800, 40), BARE).paint(make_scene(), make_frame(), Camera((40.0, 1.75), 10.0))
    painted = (np.abs(picture[20, :].astype(int) - DARK.line_white) < 60).all(axis=-1)
    assert painted[:720].mean() == pytest.approx(3.05 / 12.2, abs=0.03)
    assert painted[5] and painted[122 + 5] and not painted[60]  # the road begins at x = 0


def test_trail_and_ghost_can_be_switched_off():
    trail = Trails(xy=np.array([[[42.0, 20.0], [46.0, 20.0], [50.0, 20.0]]], np.float32), valid=np.ones((1, 3), bool))
    one = np.ones(1, np.float32)
    ghosts = Ghosts(x=50 * one, y=25 * one, yaw=0 * one, valid=np.ones(1, bool))
    frame = make_frame((50.0, 20.0, 0.0), trails=trail, ghosts=ghosts)
    plain = Painter(SIZE, BARE).paint(EMPTY, frame, CAMERA)
    both = Painter(SIZE, replace(BARE, trails=True, ghosts=True)).paint(EMPTY, frame, CAMERA)
    changed = (plain != both).any(axis=-1)
    assert changed[80, 70] and not changed[80, 130], "behind the car, not before it"
    assert both[80, 70, 1] > both[80, 35, 1], "fading towards the past"
    assert changed[80 - 50 - 10, 100] and not changed[80 - 50, 100 - 10], "an outline 5 m to the north"


def test_the_same_input_gives_the_same_bytes_whatever_was_drawn_before():
    scene, style = make_scene(), Style(ids=True)
    frame, camera = frame_of_log(scene, 30), Camera((60.0, 1.0), 7.3)
    first = Painter((300, 200), style)
    expected = first.paint(scene, frame, camera)
    kept = expected.copy()
    for step in range(5):  # other cameras and times fill the caches
        first.paint(scene, frame_of_log(scene, step), Camera((10.0 * step, 3.0), 4.0 + step))
    np.testing.assert_array_equal(expected, kept, err_msg="a picture is the caller's own")
    np.testing.assert_array_equal(first.paint(scene, frame, camera), expected)
    np.testing.assert_array_equal(Painter((300, 200), style).paint(scene, frame, camera), expected)


def test_tiles_join_without_a_seam():
    scene, frame = make_scene(), make_frame()
    wide = Painter((900, 64), BARE).paint(scene, frame, Camera((50.0, 1.75), 8.0))
    for x in (30.0, 50.0, 71.3):
        part = Painter((64, 64), BARE).paint(scene, frame, Camera((x, 1.75), 8.0))
        left = round(450 + (x - 50.0) * 8) - 32
        # The scale bar differs; it lies in the lower part.
        np.testing.assert_array_equal(part[:30], wide[:30, left : left + 64])


def test_a_scene_without_map_or_with_nobody_in_view_is_drawn():
    assert Painter(SIZE).paint(EMPTY, frame_of_log(EMPTY, 0), fit(EMPTY, SIZE)).any()
    away = Painter(SIZE).paint(make_scene(), frame_of_log(make_scene(), 0), Camera((1e5, -1e5), 3.0))
    assert near(away[80, 100], DARK.ground, 1)


def test_a_size_that_is_no_picture_is_an_error():
    with pytest.raises(ConfigError, match="at least 16 px"):
        Painter((0, 100))


def test_painting_needs_no_video_driver_and_prints_nothing():
    code = (
        "import os; os.environ['SDL_VIDEODRIVER'] = 'no such driver'\n"
        "from tests.scene.make_scene import make_scene\n"
        "from trafficgym.viewer import Painter, fit, frame_of_log\n"
        "import pygame\n"
        "scene = make_scene()\n"
        "assert Painter().paint(scene, frame_of_log(scene, 3), fit(scene)).any()\n"
        "assert not pygame.display.get_init()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
