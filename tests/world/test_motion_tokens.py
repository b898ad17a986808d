"""Motion tokens: placements worked by hand, round trips, classes, and the same on torch and in every facade."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo.test import parallel_api_test

import trafficgym
from tests.world.make_tokens import CAR_ENDS, FAST, LEFT, RIGHT, SLOW, STAND, WALKER_ENDS, contours, tiny_tokens
from tests.world.micro import Box, micro_scene
from trafficgym.envs.actions import ActionSpace, make_dynamics
from trafficgym.errors import ActionError, ConfigError
from trafficgym.scene.scene import AgentType
from trafficgym.world.dynamics import Body, Motion, MotionTokens, place_motion
from trafficgym.world.dynamics.motion_tokens import NOMINAL_SIZE
from trafficgym.world.world import World

TOKENS = tiny_tokens()
V, P, C = AgentType.VEHICLE, AgentType.PEDESTRIAN, AgentType.CYCLIST


def standing(x: Any, y: Any, yaw: Any) -> Motion:
    zero = np.zeros_like(np.asarray(x, np.float32))
    return Motion(*(np.asarray(v, np.float32) for v in (x, y, yaw)), zero, zero, zero)


def bodies(*types: AgentType) -> Body:
    return Body(np.full(len(types), 4.5, np.float32), np.array(types, np.int8))


def test_a_template_is_turned_and_moved() -> None:
    # Facing north at (10, 20), "left" goes 4 m north and 1 m west, and ends turned 0.4 rad further.
    after = TOKENS.step(standing([10.0], [20.0], [math.pi / 2]), np.array([[LEFT]]), bodies(V))
    x, y, yaw = (np.array([getattr(m, name)[0] for m in after]) for name in ("x", "y", "yaw"))
    np.testing.assert_allclose(x, [9.8, 9.6, 9.4, 9.2, 9.0], atol=1e-5)
    np.testing.assert_allclose(y, [20.8, 21.6, 22.4, 23.2, 24.0], atol=1e-5)
    np.testing.assert_allclose(yaw, math.pi / 2 + np.array([0.08, 0.16, 0.24, 0.32, 0.4]), atol=1e-6)
    last = after[-1]
    assert (last.vx[0], last.vy[0]) == pytest.approx((-2.0, 8.0), abs=1e-4)  # displacement over 0.1 s
    assert last.speed[0] == pytest.approx(8 * math.cos(0.4) + 2 * math.sin(0.4), abs=1e-4)
    assert last.x.dtype == np.float32


def test_the_centre_is_the_mean_of_the_corners_whatever_the_size_of_the_box() -> None:
    small, large = (contours([[3.0, 1.0, 0.5]], size) for size in NOMINAL_SIZE[:2])
    at = [np.array([v], np.float32) for v in (1.0, 2.0, 3.0)]
    for mine, theirs in zip(place_motion(small[:, 1:], *at), place_motion(large[:, 1:], *at), strict=True):
        assert mine.shape == (1, 5)
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_yaw_stays_within_half_a_turn() -> None:
    after = TOKENS.step(standing([0.0], [0.0], [3.1]), np.array([[LEFT]]), bodies(V))
    assert after[-1].yaw[0] == pytest.approx(3.5 - math.tau, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "token", "end"),
    [
        (V, FAST, CAR_ENDS[FAST]),
        (P, 1, WALKER_ENDS[1]),
        (P, 4, WALKER_ENDS[2]),  # pedestrians have three: the last one
        (C, FAST, (2.5, 0.0, 0.0)),
        (AgentType.OTHER, SLOW, CAR_ENDS[SLOW]),
        (AgentType.UNSET, SLOW, CAR_ENDS[SLOW]),
        (V, -3, CAR_ENDS[STAND]),
        (V, 99, CAR_ENDS[RIGHT]),
    ],
)
def test_each_class_has_its_own_tokens(kind: AgentType, token: int, end: tuple[float, ...]) -> None:
    after = TOKENS.step(standing([0.0], [0.0], [0.0]), np.array([[token]]), bodies(kind))[-1]
    assert (after.x[0], after.y[0], after.yaw[0]) == pytest.approx(end, abs=1e-6)


def random_agents(seed: int = 0, num: int = 200) -> tuple[Motion, NDArray[np.int64], Body]:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-200, 200, (2, num))
    body = bodies(*rng.choice([V, P, C, AgentType.OTHER], num))
    token = rng.integers(np.where(body.type == P, 3, 5))[:, None]
    return standing(x, y, rng.uniform(-math.pi, math.pi, num)), token, body


def test_inverse_finds_the_token_that_was_taken() -> None:
    motion, token, body = random_agents()
    after = TOKENS.step(motion, token, body)[-1]
    found = TOKENS.inverse(motion, after, body)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, token)


def test_inverse_adds_up_the_distances_of_four_corners() -> None:
    # Straight on, "slow" is 1.4 m from here and "fast" 2.6 m; the corners of "left" are on average further than 1.9 m.
    start = standing([0.0, 0.0], [0.0, 0.0], [0.0, 0.0])
    wanted = standing([2.4, 2.4], [0.0, 0.6], [0.0, 0.4])
    assert TOKENS.inverse(start, wanted, bodies(V, V)).tolist() == [[SLOW], [LEFT]]
    # On the spot, a pedestrian turns by 90 degrees or not at all.
    turned = standing([0.0, 0.0], [0.0, 0.0], [0.7, 0.9])
    assert TOKENS.inverse(start, turned, bodies(P, P)).tolist() == [[0], [2]]


def test_torch_places_as_numpy_does() -> None:
    torch = pytest.importorskip("torch")
    motion, token, body = random_agents(1)
    ours = TOKENS.step(motion, token, body)
    start, kind = Motion(*map(torch.from_numpy, motion)), Body(*map(torch.from_numpy, body))
    theirs = TOKENS.step(start, torch.from_numpy(token), kind)
    assert torch.equal(TOKENS.inverse(start, theirs[-1], kind), torch.from_numpy(token.astype(np.int32)))
    for mine, other in zip(ours, theirs, strict=True):
        for name in ("x", "y"):
            there = getattr(other, name)
            assert there.dtype == torch.float32
            np.testing.assert_allclose(getattr(mine, name), there.numpy(), rtol=0, atol=4e-5)  # two steps of float32
        np.testing.assert_allclose(np.exp(1j * mine.yaw), np.exp(1j * other.yaw.numpy()), atol=2e-5)
    chosen = torch.from_numpy(TOKENS.vehicle[token[:, 0], 1:])
    at = start.x.requires_grad_(True), start.y, start.yaw
    place_motion(chosen, *at)[0].sum().backward()
    assert torch.all(start.x.grad == 5.0)  # where it starts can be learned


def test_the_real_vocabulary_comes_back_from_its_own_ends(data_root: Any) -> None:
    with np.load(data_root / "golden/smart/vocab.npz") as file:
        tokens = MotionTokens(vehicle=file["agent_veh"], pedestrian=file["agent_ped"], cyclist=file["agent_cyc"])
    rng = np.random.default_rng(0)
    token, body = rng.integers(0, 2048, (64, 1)), bodies(*rng.choice([V, P, C], 64))
    start = standing(*rng.uniform(-3, 3, (3, 64)))
    found = tokens.inverse(start, tokens.step(start, token, body)[-1], body)
    # Templates are means of snippets: their contours are not quite boxes, and neighbours are 5 cm apart.
    assert (found == token).mean() > 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vehicle": np.zeros((5, 6, 4, 2))}, "vehicle must be float32 \\(tokens, 6, 4, 2\\), got float64"),
        ({"cyclist": np.zeros((5, 5, 4, 2), np.float32)}, "cyclist must be float32"),
        ({"pedestrian": np.full((5, 6, 4, 2), np.nan, np.float32)}, "pedestrian has no tokens, or holds"),
        ({"pedestrians": TOKENS.pedestrian}, "no option 'pedestrians'; did you mean 'pedestrian'"),
    ],
)
def test_what_is_no_vocabulary_is_refused(change: dict[str, Any], message: str) -> None:
    arrays = {"vehicle": TOKENS.vehicle, "pedestrian": TOKENS.pedestrian, "cyclist": TOKENS.cyclist}
    with pytest.raises(ConfigError, match=message):
        MotionTokens(**arrays | change)


def test_the_action_is_one_of_as_many_as_the_largest_class_has() -> None:
    assert ActionSpace(TOKENS).space == spaces.MultiDiscrete([5])
    env = trafficgym.vector_env(micro_scene(Box(kind=P), Box(x=9.0), num_steps=30), dynamics=TOKENS)
    env.reset(seed=0)
    with pytest.raises(ActionError, match=r"agent 1: \[5\] is not in"):
        env.step(np.array([[[4], [5]]]))
    env.step(np.array([[[4], [4]]]))
    assert env.world is not None
    assert env.world.state.yaw[0, 0] == pytest.approx(math.pi / 2)  # a pedestrian's last token


def test_by_name_there_is_no_vocabulary() -> None:
    with pytest.raises(ConfigError, match="motion tokens need a vocabulary"):
        make_dynamics("motion_tokens")
    with pytest.raises(ConfigError, match="did you mean 'motion_tokens'"):
        make_dynamics("motion_token")


def test_agents_by_name_choose_tokens() -> None:
    scene = micro_scene(Box(speed=3.0), Box(x=30.0, kind=P), Box(x=-30.0, kind=C), num_steps=60)
    parallel_api_test(trafficgym.parallel_env(scene, dynamics=TOKENS), num_cycles=30)
    env = trafficgym.parallel_env(scene, dynamics=TOKENS)
    env.reset(seed=0)
    env.step({"agent_0": np.array([FAST]), "agent_1": np.array([1]), "agent_2": np.array([FAST])})
    world: World = env.vector.world  # type: ignore[assignment]
    np.testing.assert_allclose(world.state.x[0], [5.0, 30.7, -27.5], atol=1e-5)
