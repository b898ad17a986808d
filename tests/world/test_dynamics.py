"""Motion models: cases worked by hand, inverses, gradients, and the log driven through each of them."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world.make_tokens import tiny_tokens
from trafficgym.errors import ConfigError
from trafficgym.scene.readers import read
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.dynamics import Bicycle, Body, DeltaPose, Dynamics, Motion, TargetPose, Verlet

MODELS: list[Dynamics] = [
    Bicycle(),
    Bicycle(substeps=5),
    Bicycle(steps_per_action=5),
    Bicycle(steps_per_action=5, substeps=5),
    DeltaPose(),
    DeltaPose(steps_per_action=5),
    TargetPose(),
    TargetPose(steps_per_action=5),
    Verlet(),
    Verlet(steps_per_action=5),
    tiny_tokens(),
]
CAR = Body(np.array(5.0), np.array(AgentType.VEHICLE))


def name_of(model: Dynamics) -> str:
    substeps = f"-in-{model.substeps}" if isinstance(model, Bicycle) else ""
    return f"{type(model).__name__}-{model.steps_per_action}{substeps}"


def moving(x: float = 0.0, y: float = 0.0, yaw: float = 0.0, speed: float = 0.0) -> Motion:
    """One agent that moves along its yaw."""
    values = (x, y, yaw, speed, speed * math.cos(yaw), speed * math.sin(yaw))
    return Motion(*(np.array(v) for v in values))


def drive(model: Dynamics, motion: Motion, action: tuple[float, ...], decisions: int) -> list[Motion]:
    path = []
    for _ in range(decisions):
        path += model.step(motion, np.array(action), CAR)
        motion = path[-1]
    return path


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_bicycle_brakes_to_a_standstill_in_26_m() -> None:
    # Euler at 0.1 s from 20 m/s with -8 m/s^2: 25 steps of 2.0, 1.92, ..., 0.08 m, in all 0.1 * (25 * 20 - 0.8 * 300).
    path = drive(Bicycle(min_speed=0.0), moving(speed=20.0), (-8.0, 0.0), 30)
    assert path[23].speed == pytest.approx(0.8)
    assert path[24].speed == pytest.approx(0.0, abs=1e-12)
    assert path[24].x == pytest.approx(26.0)
    assert path[29].x == path[25].x
    assert path[29].speed == 0.0


def test_bicycle_goes_round_a_circle_about_the_line_of_its_rear_axle() -> None:
    # Wheelbase 3 m; tan(steering) = 0.3 makes the rear axle's radius 10 m; it starts in the origin, facing east.
    model = Bicycle(substeps=100)
    path = drive(model, moving(x=1.5, speed=5.0), (0.0, math.atan(0.3)), 31)
    for step, motion in enumerate(path, start=1):
        assert motion.yaw == pytest.approx(0.05 * step)  # v / R = 0.5 rad/s
        assert math.hypot(motion.x, motion.y - 10.0) == pytest.approx(math.hypot(10.0, 1.5), abs=5e-3)
        assert motion.x == pytest.approx(10 * math.sin(motion.yaw) + 1.5 * math.cos(motion.yaw), abs=1e-2)
        assert math.hypot(motion.vx, motion.vy) == pytest.approx(0.5 * math.hypot(10.0, 1.5))


def test_bicycle_at_half_a_second_is_one_euler_step_straight_between_the_states() -> None:
    # RTR's setting: 30 m/s for 0.5 s; the rear axle runs 15 m straight on, the yaw grows by 15 tan(0.05) / 3.
    path = drive(Bicycle(steps_per_action=5), moving(x=1.5, speed=30.0), (2.0, 0.05), 1)
    assert len(path) == 5
    for step, motion in enumerate(path, start=1):
        assert motion.yaw == pytest.approx(step * math.tan(0.05))
        assert motion.speed == pytest.approx(30 + 0.2 * step)
        assert motion.x == pytest.approx(3 * step + 1.5 * math.cos(motion.yaw))
        assert motion.y == pytest.approx(1.5 * math.sin(motion.yaw))


def test_bicycle_reverses_no_faster_than_it_may() -> None:
    assert drive(Bicycle(), moving(), (-8.0, 0.0), 20)[-1].speed == -5.0


def test_delta_pose_is_in_the_frame_of_the_agent() -> None:
    after = drive(DeltaPose(), moving(x=3.0, y=4.0, yaw=math.pi / 2), (1.0, 0.5, 0.2), 1)[0]
    assert (after.x, after.y, after.yaw) == pytest.approx((2.5, 5.0, math.pi / 2 + 0.2))
    assert (after.vx, after.vy) == pytest.approx((-5.0, 10.0))
    assert after.speed == pytest.approx(10 * math.cos(0.2) + 5 * math.sin(0.2))


def test_a_longer_decision_glides_and_turns_the_short_way() -> None:
    path = TargetPose(steps_per_action=5).step(moving(yaw=3.0), np.array([2.0, 1.0, -3.0]), CAR)
    assert [float(m.x) for m in path] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    turn = (math.tau - 6.0) / 5
    expected = [3.0 + k * turn if 3.0 + k * turn < math.pi else 3.0 + k * turn - math.tau for k in range(1, 6)]
    assert [float(m.yaw) for m in path] == pytest.approx(expected)


def test_target_pose_arrives_to_the_bit() -> None:
    target = np.array([123.456, -78.9, 2.5], np.float32)
    start = Motion(*(np.float32(v) for v in (-3.3, 9.7, 0.1, 8.0, 8.0, 0.8)))
    after = TargetPose(steps_per_action=5).step(start, target, CAR)[-1]
    assert (after.x, after.y, after.yaw) == tuple(target)


def test_verlet_middle_bin_repeats_the_last_displacement() -> None:
    path = drive(Verlet(), moving(yaw=0.3, speed=7.0), (6, 6), 3)
    assert path[-1].x == pytest.approx(2.1 * math.cos(0.3))
    assert path[-1].yaw == pytest.approx(0.3)


def test_verlet_bins_are_accelerations_in_the_scene_frame() -> None:
    after = drive(Verlet(steps_per_action=5), moving(speed=2.0), (12, 3), 1)[-1]  # +6 and -3 m/s^2 for 0.5 s
    assert (after.vx, after.vy) == pytest.approx((5.0, -1.5))
    assert (after.x, after.y) == pytest.approx((2.5, -0.75))
    assert after.yaw == pytest.approx(math.atan2(-1.5, 5.0))


@pytest.mark.parametrize(("speed", "bins", "yaw"), [(0.0, (6, 10), 0.7), (-3.0, (6, 6), 0.7)])
def test_verlet_holds_its_yaw_when_slow_and_in_reverse(speed: float, bins: tuple[int, int], yaw: float) -> None:
    after = drive(Verlet(), moving(yaw=yaw, speed=speed), bins, 1)[-1]  # 0.4 m/s sideways; 3 m/s backwards
    assert after.yaw == pytest.approx(yaw)
    assert after.speed <= 0.4


@pytest.mark.parametrize(
    "make",
    [
        lambda: Bicycle(steps_per_action=5, substeps=3),
        lambda: Bicycle(wheelbase_ratio=0.0),
        lambda: Verlet(bins=12),
        lambda: DeltaPose(steps_per_action=0),
    ],
)
def test_impossible_options_are_refused(make: Any) -> None:
    with pytest.raises(ConfigError, match="is "):
        make()


# --- properties ------------------------------------------------------------------------------------------------------


def random_batch(model: Dynamics, seed: int, speeds: tuple[float, float]) -> tuple[Motion, np.ndarray, Body]:
    """Sixteen agents whose action can be told from what it does: no bound on speed or turn is in the way."""
    rng = np.random.default_rng(seed)
    yaw, speed = rng.uniform(-math.pi, math.pi, 16), rng.uniform(*speeds, 16)
    x, y = rng.uniform(-100, 100, (2, 16))
    motion = Motion(x, y, yaw, speed, speed * np.cos(yaw), speed * np.sin(yaw))
    action = rng.uniform(model.low, model.high, (16, model.action_size))
    if model.num_actions is not None:
        action = np.round(action).astype(np.int32)
    return motion, action, Body(rng.uniform(4.0, 12.0, 16), np.full(16, AgentType.VEHICLE))


@pytest.mark.parametrize("model", MODELS, ids=name_of)
@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_inverse_finds_the_action_that_was_taken(model: Dynamics, seed: int) -> None:
    # Faster, a decision of 0.5 s at full lock turns by more than half a circle, and the way back is ambiguous.
    fastest = 30.0 if model.steps_per_action == 1 else 12.0
    motion, action, body = random_batch(model, seed, (5.0, fastest))
    after = model.step(motion, action, body)[-1]
    np.testing.assert_allclose(model.inverse(motion, after, body), action, atol=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_inverse_of_the_bicycle_knows_reverse(seed: int) -> None:
    motion, action, body = random_batch(Bicycle(), seed, (-4.0, -1.0))
    after = Bicycle().step(motion, action, body)[-1]
    np.testing.assert_allclose(Bicycle().inverse(motion, after, body), action, atol=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_actions_out_of_bounds_are_clipped_and_inverses_stay_within(model: Dynamics, seed: int) -> None:
    motion, action, body = random_batch(model, seed, (-20.0, 40.0))
    low, high = np.array(model.low), np.array(model.high)
    beyond = action + np.sign(action - (low + high) / 2) * (high - low)
    np.testing.assert_array_equal(
        model.step(motion, beyond, body)[-1].x, model.step(motion, np.clip(beyond, low, high), body)[-1].x
    )
    other = random_batch(model, seed + 1, (-20.0, 40.0))[0]
    inverse = model.inverse(motion, other, body)
    assert np.isfinite(inverse).all()
    tolerance = 1e-9 * (high - low)  # tan and atan in turn
    assert (inverse >= low - tolerance).all()
    assert (inverse <= high + tolerance).all()


def test_bicycle_tracks_back_from_an_offset_without_overshooting_for_ever() -> None:
    model, motion = Bicycle(), moving(y=1.0, yaw=0.2, speed=10.0)
    for step in range(1, 51):
        motion = model.step(motion, model.inverse(motion, moving(x=5.0 + step, speed=10.0), CAR), CAR)[-1]
    assert math.hypot(motion.x - 55.0, motion.y) < 1e-3


# --- torch -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_numpy_and_torch_agree_and_keep_float32(model: Dynamics) -> None:
    torch = pytest.importorskip("torch")
    motion, action, body = random_batch(model, 3, (-4.0, 30.0))
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-6)):
        shrink = 0.01 if dtype == np.float32 else 1.0  # near the origin, where float32 itself resolves 1e-6 m
        start = Motion(*(v.astype(dtype) for v in motion))._replace(
            x=(motion.x * shrink).astype(dtype), y=(motion.y * shrink).astype(dtype)
        )
        if isinstance(model, TargetPose):
            action = action * 1e-4
        car = Body(body.length.astype(dtype), body.type)
        after = model.step(start, action.astype(dtype), car)[-1]
        as_torch = model.step(
            Motion(*(torch.from_numpy(v) for v in start)),
            torch.from_numpy(action.astype(dtype)),
            Body(*(torch.from_numpy(v) for v in car)),
        )[-1]
        for name, ours, theirs in zip(Motion._fields, after, as_torch, strict=True):
            assert ours.dtype == theirs.numpy().dtype == dtype, name
            scale = max(1.0, float(np.abs(ours).max()))
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize(
    "model", [Bicycle(), Bicycle(steps_per_action=5), Bicycle(steps_per_action=5, substeps=5), DeltaPose()], ids=name_of
)
def test_gradients_through_a_rollout_equal_finite_differences(model: Dynamics) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    spread = 0.3 * np.array(model.high)
    actions = torch.tensor(
        rng.uniform(-spread, spread, (20 // model.steps_per_action, 2, model.action_size)), requires_grad=True
    )
    state = torch.tensor(rng.uniform([[-5], [-5], [-1], [15], [0], [0]], [[5], [5], [1], [20], [1], [1]], (6, 2)))
    length = torch.tensor([4.5, 8.0], dtype=torch.float64)

    def roll_out(state: Any, actions: Any, length: Any) -> Any:
        motion, body = Motion(*state), Body(length, torch.full((2,), AgentType.VEHICLE))
        for action in actions:
            motion = model.step(motion, action, body)[-1]
        # yaw as a direction: a finite difference across the seam at pi would see a jump
        return torch.stack([motion.x, motion.y, torch.cos(motion.yaw), torch.sin(motion.yaw), motion.speed])

    lengths = length.requires_grad_(isinstance(model, Bicycle))
    assert torch.autograd.gradcheck(roll_out, (state.requires_grad_(), actions, lengths), eps=1e-6, atol=1e-4)


# --- the log driven through every model ------------------------------------------------------------------------------

BOUNDS = {  # m, median and 99th percentile over the moving vehicles of three real scenes, with a margin
    Bicycle(): (0.03, 0.3),
    Bicycle(substeps=5): (0.02, 0.2),
    Bicycle(steps_per_action=5): (0.2, 0.8),
    DeltaPose(): (1e-4, 1e-3),
    TargetPose(): (1e-6, 1e-6),
    Verlet(): (0.01, 0.1),
}


@pytest.fixture(scope="module")
def logs(data_root: Path) -> list[tuple[np.ndarray, Body]]:
    """Of each scene, the vehicles that are there all the time and move: Motion fields ``[6, A, T]``, bodies."""
    found = []
    for scene in islice(read(data_root / "data/womd_converted/womd_converted_dev.tfrecord-00000-of-00002"), 3):
        assert isinstance(scene, Scene)
        tracks = scene.tracks
        speed = tracks.vx * np.cos(tracks.yaw) + tracks.vy * np.sin(tracks.yaw)
        chosen = tracks.valid.all(1) & (tracks.type == AgentType.VEHICLE) & (np.abs(speed).max(1) > 1)
        log = np.stack([tracks.x, tracks.y, tracks.yaw, speed, tracks.vx, tracks.vy])[:, chosen]
        found.append((log, Body(tracks.length[chosen, 0], tracks.type[chosen])))
    return found


@pytest.mark.parametrize("model", BOUNDS, ids=name_of)
def test_log_through_inverse_and_step_stays_near_the_log(model: Dynamics, logs: Any) -> None:
    errors = []
    for log, body in logs:
        motion, every = Motion(*log[..., 0]), model.steps_per_action
        for step in range(every, log.shape[2], every):
            motion = model.step(motion, model.inverse(motion, Motion(*log[..., step]), body), body)[-1]
            errors.append(np.hypot(motion.x - log[0, :, step], motion.y - log[1, :, step]))
    median, worst = BOUNDS[model]
    assert np.median(np.concatenate(errors)) <= median
    assert np.percentile(np.concatenate(errors), 99) <= worst
