from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.scene.make_scene import make_scene
from trafficgym.viewer import Camera, fit
from trafficgym.viewer.camera import MAX_SCALE, MIN_SCALE

SIZE = (640, 480)
cameras = st.builds(
    Camera,
    st.tuples(st.floats(-5e3, 5e3), st.floats(-5e3, 5e3)),
    st.floats(MIN_SCALE, MAX_SCALE),
    st.floats(-math.pi, math.pi),
)
pixels = st.tuples(st.floats(0, SIZE[0]), st.floats(0, SIZE[1]))


@given(cameras, pixels)
def test_to_scene_undoes_to_screen(camera, pixel):
    np.testing.assert_allclose(camera.to_screen(camera.to_scene(pixel, SIZE), SIZE), pixel, atol=1e-6)


@given(cameras)
def test_the_centre_is_in_the_middle_to_half_a_pixel(camera):
    assert np.abs(camera.to_screen(camera.center, SIZE) - np.array(SIZE) / 2).max() <= 0.5 + 1e-6


@given(cameras, pixels, st.floats(0.3, 3.0))
def test_zoom_leaves_the_point_under_the_mouse(camera, pixel, factor):
    point = camera.to_scene(pixel, SIZE)
    zoomed = camera.zoom(factor, pixel, SIZE)
    # One rounding before and one after, the former magnified too.
    assert np.abs(zoomed.to_screen(point, SIZE) - pixel).max() <= 0.5 + 0.75 * max(factor, 1.0)


@given(cameras, st.integers(-200, 200), st.integers(-200, 200))
def test_panning_by_whole_pixels_moves_the_picture_by_them(camera, dx, dy):
    point = camera.to_scene((100, 100), SIZE)
    np.testing.assert_allclose(camera.pan(dx, dy).to_screen(point, SIZE), (100 + dx, 100 + dy), atol=1.001)


def test_fit_holds_every_position():
    scene = make_scene(num_agents=6)
    camera = fit(scene, SIZE)
    at = camera.to_screen(np.stack([scene.tracks.x, scene.tracks.y], -1)[scene.tracks.valid], SIZE)
    assert (at > 0).all() and (at < SIZE).all()
    assert camera.scale > 2.0, "190 m and the margins fill the 640 px"
