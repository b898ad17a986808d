"""Which rollouts crash, which pair is shown, and the film of it; rollouts are made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.scene.make_scene import LANE_WIDTH, make_scene
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym_baselines import before_and_after
from trafficgym_baselines.crashes import find_crash_pair, first_crash

STEPS = 0.1 * np.arange(1, 81)  # s; vehicles 0 and 2 are at x = 20 and 60 in the right lane, 1 at 40 in the left


def driven(scene: Scene, speed: float = 10.0, y: np.ndarray | float = 0.0) -> np.ndarray:
    """The log, but vehicle 0 at its own speed."""
    future = slice(scene.current_step + 1, None)
    motion = np.stack([getattr(scene.tracks, name)[:, future] for name in ("x", "y", "z", "yaw")], -1)
    motion[0, :, 0], motion[0, :, 1] = 20 + speed * STEPS, y
    return motion


def test_the_first_overlap_is_a_crash_of_two() -> None:
    scene = make_scene()
    assert first_crash(scene, driven(scene)) is None
    crash = first_crash(
        scene, driven(scene, speed=20.0)
    )  # 35.5 m between bumpers, 10 m/s faster: at 3.6 s they overlap
    assert crash is not None
    assert (crash.step, crash.agents, crash.speed) == (35, (0, 2), pytest.approx(10, abs=1e-3))
    # Into the left lane, where 15.5 m are between them.
    crash = first_crash(scene, driven(scene, speed=20.0, y=LANE_WIDTH))
    assert crash is not None and (crash.step, crash.agents) == (15, (0, 1))


def test_who_overlaps_from_the_beginning_or_is_absent_or_on_a_bridge_does_not_crash() -> None:
    scene = make_scene()
    x, z, valid = scene.tracks.x.copy(), scene.tracks.z.copy(), scene.tracks.valid.copy()
    x[0] += 36  # bumper into bumper
    touching = replace(scene, tracks=replace(scene.tracks, x=x))
    motion = driven(touching)
    motion[0, :, 0] += 36
    assert first_crash(touching, motion) is None
    valid[2] = False
    assert first_crash(replace(scene, tracks=replace(scene.tracks, valid=valid)), driven(scene, speed=20.0)) is None
    z[2] = 6
    above = replace(scene, tracks=replace(scene.tracks, z=z))
    assert first_crash(above, driven(above, speed=20.0)) is None


def test_the_fastest_crash_in_full_view_is_picked_of_those_that_are_none_after() -> None:
    scene = make_scene()
    fine, slow, fast = driven(scene), driven(scene, speed=18.0), driven(scene, speed=25.0)
    at_once, late = driven(scene, speed=60.0), driven(scene, speed=14.9)
    before = np.stack([fine, slow, fast, at_once, late])
    search = find_crash_pair([(scene, before, np.stack([fine] * 5))])
    assert search.pair is not None and search.pair.number == 2
    assert (search.num_rollouts, search.before, search.after) == (5, 4, 0)
    search = find_crash_pair([(scene, before, np.stack([fine, fine, slow, fine, fine]))])
    assert search.pair is not None and search.pair.number == 1
    # The crash of 25 m/s is at 2.4 s, those of 18 and 14.9 m/s at 4.5 and 7.3 s, after the film has ended.
    search = find_crash_pair([(scene, before[[2]], before[[1]])])
    assert search.pair is not None and search.pair.crash_after is not None
    assert str(search).endswith("after the tuning nobody crashes until 4.5 s")
    search = find_crash_pair([(scene, before[[1, 2]], before[[0, 4]])])
    assert search.pair is not None and search.pair.number == 0
    search = find_crash_pair([(scene, before[[0, 3]], before[[0, 0]])])
    assert search.pair is None and "of 2 rollouts of 1 scenes, 1 crash before and 0 after, but in none" in str(search)


def test_the_film_shows_both_sides_and_marks_who_crashes(tmp_path: Path) -> None:
    scene = make_scene()
    search = find_crash_pair([(scene, driven(scene, speed=20.0)[None], driven(scene)[None])])
    assert search.pair is not None
    path = before_and_after.film(search.pair, tmp_path / "film.gif", size=200)
    assert path.stat().st_size < 500_000
    with Image.open(path) as film:
        assert film.size == (2 * 200 + before_and_after.GAP, 200 + before_and_after.STRIP)
        reds = []
        for k in (0, 30, 40):
            film.seek(k)
            red = np.asarray(film.convert("RGB")).astype(int) - 90
            marked = (red[..., 0] > 130) & (red[..., 1] < 0) & (red[..., 2] < 0)
            reds.append([int(marked[:, :200].sum()), int(marked[:, 200:].sum())])
    assert all(left == right for left, right in reds[:2])  # of the traffic light
    assert reds[2][0] > reds[2][1] + 20


def test_a_checkpoint_is_not_better_than_itself(tmp_path: Path) -> None:
    args = before_and_after.Args(before="micro", after="micro", num_scenes=1, rollouts=1, out=tmp_path / "film.gif")
    with pytest.raises(ConfigError, match="of 1 rollouts of 1 scenes"):
        before_and_after.before_and_after(args)
    assert not args.out.exists()
