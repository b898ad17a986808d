from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metrics.make_rollout import START, replay
from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError
from trafficgym.metrics import ade, ate, cte, fde, min_ade
from trafficgym.metrics.reconstruction import path_errors

# Every vehicle of `make_scene` drives 10 m/s to the east; column k of a replay is 0.1 k seconds after the start.


def test_replay_has_no_error():
    for metric in (ade, fde, ate, cte):
        assert metric(replay()).mean == pytest.approx(0, abs=1e-5)
        assert metric(replay()).num == 3


def test_a_vehicle_that_stands_is_late_but_on_its_path():
    log = replay()
    rollout = replace(log, x=np.repeat(log.x[:, :1], log.num_steps, axis=1))
    # Error 1, 2, ..., 80 m at columns 1 to 80: mean 40.5, and 50 m after 5 s.
    assert ade(rollout).value == pytest.approx([40.5] * 3)
    assert fde(rollout).value == pytest.approx([50] * 3)
    assert fde(rollout, after_s=8.0).value == pytest.approx([80] * 3)
    assert ate(rollout).value == pytest.approx([40.5] * 3)
    assert cte(rollout).value == pytest.approx([0] * 3, abs=1e-4)
    along, _, _ = path_errors(rollout)
    assert along[0, 10] == pytest.approx(-10)


def test_a_vehicle_beside_its_path_errs_across_it_and_to_the_left_is_positive():
    rollout = replace(replay(), y=replay().y + np.float32(1.5))
    assert cte(rollout).value == pytest.approx([1.5] * 3)
    assert ate(rollout).value == pytest.approx([0] * 3, abs=1e-4)
    _, across, _ = path_errors(rollout)
    assert across[:, 1:] == pytest.approx(1.5)


def test_along_goes_on_behind_the_end_of_the_log():
    rollout = replay()
    fast = replace(rollout, x=rollout.x + 40 * (np.arange(81) * 0.1).astype(np.float32))  # 50 m/s, far beyond
    along, across, _ = path_errors(fast)
    assert along[0, 80] == pytest.approx(320, abs=1e-3)
    assert across == pytest.approx(0, abs=1e-3)


def test_a_parked_vehicle_is_measured_along_its_yaw():
    scene = make_scene(num_agents=1, speed=0.0)
    tracks = replace(scene.tracks, yaw=np.full_like(scene.tracks.yaw, np.pi / 2))
    rollout = replay(replace(scene, tracks=tracks))
    moved = replace(rollout, x=rollout.x + np.float32(1.0), y=rollout.y + np.float32(2.0))
    assert ate(moved).mean == pytest.approx(2.0, abs=1e-5)
    assert cte(moved).mean == pytest.approx(1.0, abs=1e-5)


def test_only_steps_count_where_log_and_agent_are_there():
    log = replay()
    valid = log.scene.tracks.valid.copy()
    valid[0, START + 3 :] = False  # columns 1 and 2 remain: errors 1 and 2 m
    valid[1, START + 1 :] = False  # only the first column remains, which never counts
    scene = replace(log.scene, tracks=replace(log.scene.tracks, valid=valid))
    present = log.present.copy()
    present[2, 2:] = False  # column 1: error 1 m
    rollout = replace(log, scene=scene, present=present, x=np.repeat(log.x[:, :1], 81, axis=1))
    assert ade(rollout).valid.tolist() == [True, False, True]
    assert ade(rollout).value == pytest.approx([1.5, 0, 1])
    assert fde(rollout).num == 0
    assert fde(rollout, after_s=0.2).valid.tolist() == [True, False, False]


def test_a_log_that_ends_before_the_rollout_counts_as_long_as_it_lasts():
    log = replay()
    longer = {name: np.pad(getattr(log, name), ((0, 0), (0, 20)), mode="edge") for name in ("x", "y", "z", "yaw")}
    longer |= {name: np.pad(getattr(log, name), ((0, 0), (0, 20))) for name in ("vx", "vy", "present")}
    assert ade(replace(log, **longer)).mean == pytest.approx(0, abs=1e-5)


def test_min_ade_is_joint():
    log = replay()
    first, second = log.x.copy(), log.x.copy()
    first[0] += 4  # agents err 4, 0, 0: mean 4/3
    second += np.array([[0], [3], [3]], np.float32)  # agents err 0, 3, 3: mean 2
    rollouts = [replace(log, x=second), replace(log, x=first)]
    assert min_ade(rollouts).value == pytest.approx([4, 0, 0])
    with pytest.raises(ConfigError, match="one scene"):
        min_ade([log, replay(make_scene("other"))])


@given(turn=st.floats(-3, 3), offset=st.tuples(st.floats(-5, 5), st.floats(-5, 5)))
def test_along_and_across_are_the_displacement_turned_into_the_path(turn, offset):
    """On a straight path the two errors are the legs of the displacement, whichever way the path runs."""
    scene = make_scene(num_agents=1)
    cos, sin = np.cos(turn), np.sin(turn)
    tracks = scene.tracks
    turned = replace(tracks, x=(cos * tracks.x).astype(np.float32), y=(sin * tracks.x).astype(np.float32))
    rollout = replay(replace(scene, tracks=turned))
    dx, dy = offset
    moved = replace(rollout, x=rollout.x + np.float32(dx), y=rollout.y + np.float32(dy))
    assert ate(moved).mean == pytest.approx(abs(cos * dx + sin * dy), abs=1e-3)
    assert cte(moved).mean == pytest.approx(abs(cos * dy - sin * dx), abs=1e-3)
