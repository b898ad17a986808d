"""Adding the origin back gives the float32 that the source would have given, and headings can be unwrapped."""

from __future__ import annotations

import numpy as np

from trafficgym.scene.readers.build import SourceTracks, subtract_origin


def test_adding_the_origin_gives_the_sources_float32() -> None:
    rng = np.random.default_rng(0)
    origin = np.array([-7785.91648758, 6683.4058677, -184.02590608])
    values = origin + rng.uniform(-1, 1, (200_000, 3)) * [600, 600, 50]
    plain = (values - origin).astype(np.float32)
    wanted = values.astype(np.float32)
    assert ((plain + origin).astype(np.float32) != wanted).any(), "rounding alone would do"
    near = subtract_origin(values, origin)
    assert near.dtype == np.float32
    np.testing.assert_array_equal((near + origin).astype(np.float32), wanted)
    assert np.abs(near - (values - origin)).max() < 1e-4


def test_turns_give_the_sources_heading_back() -> None:
    heading = np.array([[0.5, 3.5, 7.83, -4.7, -3.24, -np.pi]])
    one = np.ones_like(heading)
    source = SourceTracks(
        id=[1], type=[1], x=one, y=one, z=one, yaw=heading, vx=one, vy=one, length=one, width=one, height=one,
        valid=one.astype(bool),
    )  # fmt: skip
    tracks = source.in_scene_frame(np.zeros(3))
    assert ((tracks.yaw >= -np.pi) & (tracks.yaw < np.pi)).all()
    assert tracks.turns is not None
    np.testing.assert_array_equal(tracks.turns, [[0, 1, 1, -1, -1, 0]])
    np.testing.assert_allclose(tracks.yaw + 2 * np.pi * tracks.turns, heading, atol=5e-7)
    source.yaw = np.clip(heading, -3, 3)
    assert source.in_scene_frame(np.zeros(3)).turns is None
