"""Logs and the tokens of agents, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.agents.smart.small_vocabulary import small_vocabulary
from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError, SceneError
from trafficgym.scene.scene import AgentType, Scene
from trafficgym_agents.policies.smart.noise import TokenNoise
from trafficgym_agents.policies.smart.preprocess import AgentLog
from trafficgym_agents.policies.smart.tokenizer import Tokenizer

TOKENIZER = Tokenizer(small_vocabulary())
STAND, FOUR, FIVE = range(3)


def with_tracks(scene: Scene, **changes: Any) -> Scene:
    return replace(scene, tracks=replace(scene.tracks, **changes))


def with_steps(scene: Scene, track: int, valid: slice | list[int]) -> Scene:
    """The scene with a track that is seen at some steps only; elsewhere it holds rubbish."""
    mask = np.zeros(scene.num_steps, bool)
    mask[valid] = True
    seen = scene.tracks.valid.copy()
    seen[track] = mask
    changes = {name: getattr(scene.tracks, name).copy() for name in ("x", "y", "z", "yaw", "vx", "vy", "length")}
    for values in changes.values():
        values[track, ~mask] = np.nan
    return with_tracks(scene, valid=seen, **changes)


def test_a_token_starts_where_the_one_before_led() -> None:
    """4.6 m per slot, of 4 and 5 m: each is chosen for what is left, so that misses do not add up."""
    agents = TOKENIZER(make_scene(num_agents=1, speed=9.2)).agents
    assert agents.token[0, :10].tolist() == [FIVE, FOUR, FIVE, FOUR, FIVE] * 2
    np.testing.assert_allclose(agents.xy[0, :5, 0], 10 + np.array([5, 9, 14, 18, 23]), atol=1e-4)
    np.testing.assert_allclose(agents.raw_xy[0, :, 0], 10 + 4.6 * np.arange(1, 19), atol=1e-4)
    assert np.abs(agents.xy - agents.raw_xy).max() < 0.5
    assert agents.valid.all() and agents.raw_valid.all() and agents.path_valid.all() and agents.learns.all()
    np.testing.assert_array_equal(agents.target, agents.token)
    assert agents.path.shape == (1, 91, 3)
    np.testing.assert_array_equal(agents.path[:, 5::5, :2], agents.raw_xy)
    np.testing.assert_allclose(agents.size, [[4.5, 2, 1.5]])
    assert agents.role.tolist() == [[True, False, False]]


def test_who_is_kept() -> None:
    """Vehicles, pedestrians and cyclists that are there now, coded 0, 1, 2."""
    type = np.array([AgentType.VEHICLE, AgentType.OTHER, AgentType.CYCLIST, AgentType.PEDESTRIAN, AgentType.UNSET, 1])
    scene = with_tracks(make_scene(num_agents=6, speed=0), type=type.astype(np.int8))
    agents = TOKENIZER(with_steps(scene, 5, slice(11, None))).agents
    assert agents.track.tolist() == [0, 2, 3]
    assert agents.type.tolist() == [0, 2, 1]
    assert (agents.token == STAND).all()


def test_nobody() -> None:
    scene = with_steps(make_scene(num_agents=1), 0, slice(11, None))
    with pytest.raises(SceneError, match="'made' has no vehicle, pedestrian or cyclist at its current step 10"):
        TOKENIZER(scene)


def test_gaps_are_filled_between_what_is_seen() -> None:
    """Seen at steps 0, 10, 20 of 91; the size is that of the steps seen; nothing comes before or after."""
    scene = with_steps(make_scene(num_agents=2), 0, [2, 10, 20])
    log = AgentLog.of(scene)
    assert np.flatnonzero(log.valid[0]).tolist() == list(range(2, 21))
    np.testing.assert_allclose(log.xyz[0, 2:21, 0], 10 + np.arange(2, 21), atol=1e-4)
    assert (log.xyz[0, 21:] == 0).all() and (log.xyz[0, :2] == 0).all()
    np.testing.assert_allclose(log.size[0], [4.5, 2, 1.5])
    np.testing.assert_allclose(log.velocity[0, 2:21, 0], 10)


def test_headings_are_filled_the_short_way() -> None:
    """From 3.1 to -3.1 rad it is 0.083 rad, over pi."""
    scene = make_scene(num_agents=1)
    yaw = np.where(np.arange(91) < 50, 3.1, -3.1).astype(np.float32)[None]
    log = AgentLog.of(with_steps(with_tracks(scene, yaw=yaw), 0, [*range(41), *range(60, 91)]))
    half = (2 * np.pi - 6.2) / 2
    np.testing.assert_allclose(log.yaw[0, [40, 50, 60]], [3.1, 3.1 + half, 3.1 + 2 * half], atol=1e-5)


def test_flips_take_the_heading_before() -> None:
    """A car that is taken for its own back twice; a steady turn stays."""
    yaw = np.zeros((2, 91), np.float32)
    yaw[0, [20, 40, 41]] = -np.pi
    yaw[1] = np.linspace(0, 3, 91)
    log = AgentLog.of(with_tracks(make_scene(num_agents=2), yaw=yaw)).with_steady_yaw()
    np.testing.assert_allclose(np.cos(log.yaw[0]), 1, atol=1e-6)
    np.testing.assert_array_equal(log.yaw[1], yaw[1])


@pytest.mark.parametrize(("first", "start"), [(0, 0), (1, 0), (4, 0), (5, 5), (8, 5), (9, 5), (10, 5)])
def test_tracks_are_continued_backwards(first: int, start: int) -> None:
    """To where a token starts, and by a whole one if they begin now: slot 1 is always there, slot 0 not always."""
    scene = make_scene(num_agents=1)
    vy = np.zeros((1, 91), np.float32)
    vy[0, first] = 3
    agents = TOKENIZER(with_steps(with_tracks(scene, vy=vy), 0, slice(first, None))).agents
    assert np.flatnonzero(agents.path_valid[0])[0] == start
    back = np.arange(start - first, 0)
    np.testing.assert_allclose(agents.path[0, start:first, 0], 10 + first + back, atol=1e-4)
    np.testing.assert_allclose(agents.path[0, start:first, 1], 0.3 * back, atol=1e-5)
    assert (agents.path[0, :start] == 0).all()
    assert agents.valid[0].tolist() == [start == 0] + [True] * 17
    if start == 5:
        assert agents.token[0, 0] == 0 and (agents.xy[0, 0] == 0).all() and agents.yaw[0, 0] == 0
        assert agents.raw_valid[0, 0]  # it is there where slot 1 starts


def test_slots_end_with_the_track() -> None:
    """Last seen at step 22: the slot to 20 is the last."""
    agents = TOKENIZER(with_steps(make_scene(num_agents=1), 0, slice(0, 23))).agents
    assert agents.valid[0].tolist() == [True] * 4 + [False] * 14
    assert (agents.token[0, 4:] == 0).all() and (agents.xy[0, 4:] == 0).all() and (agents.raw_xy[0, 4:] == 0).all()


@pytest.mark.parametrize(("steps", "now"), [(11, 10), (91, 0), (91, 3), (91, 90), (200, 10), (200, 100), (1, 0)])
def test_the_window_lies_around_now(steps: int, now: int) -> None:
    """Steps that the scene lacks are not valid; a track that begins with the scene is continued backwards."""
    scene = make_scene(num_agents=2, num_steps=steps, current_step=now)
    agents = TOKENIZER(scene, train=True, rng=np.random.default_rng(0)).agents
    assert agents.path[:, 10, 0].tolist() == scene.tracks.x[:, now].tolist()
    first = 5 if now == 0 else (10 - min(now, 10)) // 5 * 5
    last = min(90, 10 + steps - 1 - now)
    want = (np.arange(91) >= first) & (np.arange(91) <= last)
    np.testing.assert_array_equal(agents.path_valid, np.stack([want, want]))
    assert agents.valid[:, 1].all()
    assert agents.valid.sum() == 2 * (last // 5 - first // 5)


def test_a_long_scene_is_as_its_window() -> None:
    long = make_scene(num_agents=3, num_steps=200, current_step=30)
    long = with_steps(long, 1, [*range(15, 60), 150])  # what comes after the window fills nothing
    names = ("x", "y", "z", "yaw", "vx", "vy", "length", "width", "height", "valid")
    cut = {name: getattr(long.tracks, name)[:, 20:111].copy() for name in names}
    short = with_tracks(make_scene(num_agents=3), **cut)
    a, b = TOKENIZER(long).agents, TOKENIZER(short).agents
    for name in ("token", "xy", "yaw", "valid", "path", "path_valid", "size"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_training_leaves_out_what_is_far() -> None:
    """Vehicle i is 20 i m ahead of the SDC: 150 m are between 7 and 8. They stay in the scene, without a state."""
    scene = make_scene(num_agents=12)
    rng = np.random.default_rng(0)
    agents = TOKENIZER(scene, train=True, rng=rng).agents
    assert len(agents) == 12
    assert agents.valid.any(1).tolist() == [True] * 8 + [False] * 4
    assert agents.learns.tolist() == [True] * 5 + [False] * 7  # in the other lane, 100 m ahead are 100.06 m
    assert TOKENIZER(scene).agents.valid.all()
    nobody = np.zeros(12, bool)
    everyone = with_tracks(scene, is_sdc=nobody)
    assert TOKENIZER(everyone, train=True, rng=rng).agents.learns.all()
    gone = with_steps(scene, 0, slice(0, 50))  # where it is not known where the SDC is, nobody is far
    assert TOKENIZER(gone, train=True, rng=rng).agents.path_valid[11].tolist() == [False] * 50 + [True] * 41


def test_height_counts_as_distance() -> None:
    z = np.zeros((2, 91), np.float32)
    z[1] = 151
    scene = with_tracks(make_scene(num_agents=2), z=z)
    assert not TOKENIZER(scene, train=True, rng=np.random.default_rng(0)).agents.valid[1].any()


def test_those_seen_too_shortly_do_not_learn_without_a_role() -> None:
    scene = with_steps(with_steps(make_scene(num_agents=4), 2, slice(0, 15)), 3, slice(0, 16))
    scene = with_steps(scene, 1, slice(0, 12))  # to be predicted
    agents = TOKENIZER(scene, train=True, rng=np.random.default_rng(0)).agents
    assert agents.learns.tolist() == [True, True, False, True]


@pytest.mark.parametrize("num_roles", [2, 40])
def test_at_most_32_learn(num_roles: int) -> None:
    scene = make_scene(num_agents=60)
    x = np.zeros_like(scene.tracks.x)
    role = np.arange(60) % 2 == 0 if num_roles == 40 else np.arange(60) == 1
    scene = with_tracks(scene, x=x, to_predict=role, of_interest=np.arange(60) > 48 if num_roles == 40 else role)
    drawn = [TOKENIZER(scene, train=True, rng=np.random.default_rng(s)).agents.learns for s in (0, 0, *range(1, 9))]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert {int(learns.sum()) for learns in drawn} == {32}
    has_role = scene.tracks.is_sdc | scene.tracks.to_predict | scene.tracks.of_interest
    if num_roles == 2:
        assert all(learns[has_role].all() for learns in drawn)
        assert np.any(drawn, 0).all()
    else:
        assert all(has_role[learns].all() for learns in drawn)


def test_the_scene_frame_moves_and_turns_with_the_scene() -> None:
    """The same tokens wherever the scene lies, and whichever way it looks."""
    scene = with_steps(make_scene(num_agents=3, speed=9.2), 1, slice(8, 40))
    turn, cos, sin = 1.1, np.cos(1.1), np.sin(1.1)
    tracks, road = scene.tracks, scene.road
    x, y = tracks.x * cos - tracks.y * sin + 30, tracks.x * sin + tracks.y * cos - 50
    vx, vy = tracks.vx * cos - tracks.vy * sin, tracks.vx * sin + tracks.vy * cos
    xyz = road.xyz @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + [30, -50, 0]
    moved = {"x": x, "y": y, "vx": vx, "vy": vy, "yaw": tracks.yaw + turn}
    turned = replace(
        with_tracks(scene, **{name: values.astype(np.float32) for name, values in moved.items()}),
        road=replace(road, xyz=xyz.astype(np.float32)),
        origin=np.array([9e3, 9e3, 0]),
    )
    a, b = TOKENIZER(scene), TOKENIZER(turned)
    np.testing.assert_array_equal(a.agents.token, b.agents.token)
    np.testing.assert_array_equal(a.agents.valid, b.agents.valid)
    np.testing.assert_array_equal(a.map.token, b.map.token)
    back = (b.agents.xy - [30, -50]) @ np.array([[cos, -sin], [sin, cos]])
    valid = a.agents.valid
    np.testing.assert_allclose(back[valid], a.agents.xy[valid], atol=1e-3)
    np.testing.assert_allclose(b.agents.yaw[valid] - turn, a.agents.yaw[valid], atol=1e-4)


def test_the_source_frame_is_global() -> None:
    scene = make_scene()
    near, far = TOKENIZER(scene), Tokenizer(small_vocabulary(), frame="source")(scene)
    np.testing.assert_allclose(far.agents.raw_xy, near.agents.raw_xy + scene.origin[:2], atol=1e-3)
    np.testing.assert_allclose(far.agents.z, near.agents.z + scene.origin[2], atol=1e-4)
    np.testing.assert_allclose(far.map.points, near.map.points + scene.origin[:2], atol=1e-3)
    with pytest.raises(ConfigError, match="frame is 'world'"):
        Tokenizer(small_vocabulary(), frame="world")  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["recovery", "executed"])
def test_noise(target: Any) -> None:
    """Some go beside the log, and what they should learn is the way back, or what they did."""
    scene, noise = make_scene(num_agents=6, speed=9.2), TokenNoise(nearest=2, target=target)
    runs = [TOKENIZER(scene, train=True, rng=np.random.default_rng(s), noise=noise).agents for s in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0].token, runs[1].token)
    assert (runs[0].token != runs[2].token).any()
    agents = runs[0]
    assert agents.target is not None
    differ = (agents.target != agents.token)[agents.valid].mean()
    assert differ == 0 if target == "executed" else 0.2 < differ < 0.5  # exp(-0.6) to exp(-0.4) is a draw of 45 %
    straight = np.isin(agents.token, [FOUR, FIVE]).all(1)
    assert straight.sum() >= 4
    moved = np.where(agents.token == FIVE, 5, 4).cumsum(1)
    np.testing.assert_allclose((agents.xy[..., 0] - agents.path[:, :1, 0])[straight], moved[straight], atol=1e-4)
    cold = replace(noise, temperature=1e-6)
    clean = TOKENIZER(scene).agents
    assert (TOKENIZER(scene, train=True, rng=np.random.default_rng(0), noise=cold).agents.token == clean.token).all()
    assert (TOKENIZER(scene, noise=noise, rng=np.random.default_rng(0)).agents.token == clean.token).all()


def test_more_noise_than_tokens() -> None:
    """Pedestrians have two tokens, of which five are asked."""
    scene = with_tracks(make_scene(num_agents=2, speed=1), type=np.full(2, AgentType.PEDESTRIAN, np.int8))
    noise = TokenNoise(nearest=5, temperature=1e5, map_nearest=8)
    agents = TOKENIZER(scene, train=True, rng=np.random.default_rng(0), noise=noise).agents
    assert set(agents.token.ravel().tolist()) == {0, 1}


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="needs rng"):
        TOKENIZER(make_scene(), train=True)
    with pytest.raises(ConfigError, match="did you mean 'nearest'"):
        TokenNoise(nearst=5)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="temperature is 0"):
        TokenNoise(temperature=0)
    with pytest.raises(ConfigError, match="target is 'gt'"):
        TokenNoise(target="gt")  # type: ignore[arg-type]


def test_a_crowd() -> None:
    agents = TOKENIZER(make_scene(num_agents=500), train=True, rng=np.random.default_rng(0)).agents
    assert len(agents) == 500
    assert agents.valid.any(1).sum() == 8
