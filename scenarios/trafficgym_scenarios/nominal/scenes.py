"""Nominal scenes by seed."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, SceneError
from trafficgym.scene.scene import AgentType, RoadMap, Scene, Signals, Tracks
from trafficgym_scenarios.nominal import columns as c
from trafficgym_scenarios.nominal.config import CURRENT_STEP, NominalConfig
from trafficgym_scenarios.nominal.grounds import draw_road
from trafficgym_scenarios.nominal.judge import faults_of
from trafficgym_scenarios.nominal.simulation import WARM_UP, Run, run
from trafficgym_scenarios.roads import Road
from trafficgym_scenarios.scenes import LazyScenes

VERSION = 1
TRIES = 40
NO_ROOM = 8  # draws without room after which there will be none
NUM_TO_PREDICT = 8
_CONFIGS: dict[str, NominalConfig] = {}  # by digest, those of which scenes were made
MOST_OTHERS = 4  # of those to predict that are not vehicles, if there are as many


def nominal_scene(seed: int, config: NominalConfig | None = None) -> Scene:
    """Make one scene of nominal traffic; the same seed and configuration give the same bytes.

    The world's own events judge the log: nobody collides, leaves the road, drives the wrong way, runs a red light or
    moves infeasibly. A draw in which somebody does is rejected, and the next one is made from the same generator. The
    SDC stands at the origin at the current step.

    Raises:
        SceneError: no draw was accepted; the message says why they were rejected.
    """
    return scene_of(seed, config or NominalConfig())[0]


def scene_of(seed: int, config: NominalConfig) -> tuple[Scene, Run]:
    """The scene, and the run that it was made from."""
    check_seed(seed)
    rng = np.random.default_rng(seed)
    rejections: dict[str, int] = {}
    # One kind for all tries, so that the mixture of kinds does not depend on how easy they are.
    _CONFIGS[config.digest] = config
    kind = config.kinds[rng.integers(len(config.kinds))]
    duration = (WARM_UP + config.num_steps) * c.DT
    for _ in range(TRIES):
        found = run(draw_road(kind, duration, rng), config, rng, CURRENT_STEP)
        sdc = None if found is None else _sdc(found)
        if found is None or sdc is None:
            rejections["no room"] = rejections.get("no room", 0) + 1
            if rejections["no room"] == NO_ROOM:
                break
            continue
        scene = _scene(f"nominal-{VERSION}-{config.digest}-{seed}", found, sdc)
        faults = faults_of(scene)
        if not faults:
            found.rejections.update(rejections)
            return scene, found
        for name in faults:
            rejections[name] = rejections.get(name, 0) + 1
    counts = ", ".join(f"{name} {count}" for name, count in rejections.items())
    raise SceneError(f"nominal seed {seed} on {kind!r}: all draws rejected ({counts}); ask for fewer road users")


def check_seed(seed: int) -> None:
    """Raise ConfigError unless it is a whole number, 0 or more."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; give a whole number, 0 or more")


def run_of(scene: Scene, config: NominalConfig | None = None) -> Run:
    """The run that a nominal scene was made from, made again from the scene's id.

    Args:
        scene: By `nominal_scene`, or read back from a store.
        config: The one that it was made with; needed only if it is neither the default nor was used in this process.

    Raises:
        SceneError: the scene is none of these, was changed, or comes from another version.
        ConfigError: another configuration is needed.
    """
    parts = re.fullmatch(r"nominal-(\d+)-([0-9a-f]{8})-(\d+)", scene.id)
    if parts is None:
        raise SceneError(f"scene {scene.id!r} was not made by nominal_scene, so nobody knows its drivers")
    version, digest, seed = int(parts[1]), parts[2], int(parts[3])
    if version != VERSION:
        raise SceneError(
            f"scene {scene.id!r} is of version {version} of nominal traffic, this is {VERSION}; make it again"
        )
    candidates = [config] if config is not None else [NominalConfig(), *_CONFIGS.values()]
    found = next((known for known in candidates if known.digest == digest), None)
    if found is None:
        raise ConfigError(
            f"scene {scene.id!r} was made with another NominalConfig, of digest {digest}; give that as `config`"
        )
    again, run = scene_of(seed, found)
    for name in ("x", "y", "yaw"):
        if not _equals(getattr(scene.tracks, name), getattr(again.tracks, name)):
            raise SceneError(
                f"scene {scene.id!r}: its tracks ({name}) are not those that its id stands for; it was changed, or "
                "made with other versions of trafficgym or NumPy: make it again"
            )
    return run


def _equals(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=0.0, atol=1e-3))


def nominal_scenes(num: int, seed: int = 0, config: NominalConfig | None = None) -> LazyScenes:
    """Scenes by seed, made when they are asked for: ``nominal_scenes(100, seed=5)[7]`` is ``nominal_scene(12)``.

    Args:
        num: How many.
        seed: Of the first.
        config: What they are drawn from.

    Raises:
        ConfigError: `num` or `seed` makes no sense.
    """
    if num < 1:
        raise ConfigError(f"num is {num}; ask for at least one scene")
    check_seed(seed)
    return LazyScenes(partial(_nominal_scene, seed, config or NominalConfig()), num)


def _nominal_scene(first: int, config: NominalConfig, number: int) -> Scene:
    return nominal_scene(first + number, config)


def shift_of(run: Run, sdc: int | None) -> NDArray[np.float64]:
    """What is subtracted from the road's coordinates, ``[2]`` m: where the SDC is at the current step."""
    return run.states[1 + CURRENT_STEP, sdc, [c.X, c.Y]]


def _sdc(run: Run) -> int | None:
    """The car nearest to the middle of all that stay to the end."""
    states = run.states[1:]
    drivers = run.traffic.drivers
    stays = (states[:, :, c.PRESENT] != 0).all(0)
    cars = np.flatnonzero(stays & (drivers.kind == AgentType.VEHICLE) & (drivers.length < 6.0))
    if not len(cars):
        return None
    now = states[CURRENT_STEP][:, [c.X, c.Y]]
    middle = np.median(now[stays], axis=0)
    return int(cars[np.hypot(*(now[cars] - middle).T).argmin()])


def _scene(name: str, run: Run, sdc: int) -> Scene:
    shift = shift_of(run, sdc)
    steps = len(run.states) - 1
    return Scene(
        id=name,
        source="generated",
        origin=np.zeros(3),
        timestamps=np.arange(steps, dtype=np.float64) * c.DT,
        current_step=CURRENT_STEP,
        tracks=_tracks(run, sdc, shift),
        road=_shifted_map(run.road, shift),
        signals=_signals(run, shift),
    )


def _shifted_map(road: Road, shift: NDArray[np.float64]) -> RoadMap:
    xyz = road.map.xyz.copy()
    xyz[:, :2] = road.map.xyz[:, :2].astype(np.float64) - shift
    return replace(road.map, xyz=xyz)


def _signals(run: Run, shift: NDArray[np.float64]) -> Signals:
    signals = run.traffic.signals
    stop = signals.stop[:, WARM_UP:].copy()
    stop[..., :2] = stop[..., :2].astype(np.float64) - shift
    return Signals(
        lane=signals.lane,
        lane_id=signals.lane_id,
        state=np.ascontiguousarray(signals.state[:, WARM_UP:]),
        stop=stop,
        valid=np.ascontiguousarray(signals.valid[:, WARM_UP:]),
    )


def _tracks(run: Run, sdc: int, shift: NDArray[np.float64]) -> Tracks:
    drivers = run.traffic.drivers
    count = len(drivers)
    states = run.states
    there = states[1:, :, c.PRESENT].T != 0
    xy = (states[:, :, [c.X, c.Y]] - shift).astype(np.float32)
    # What the world makes of one pose after another, bit for bit.
    velocity = np.diff(xy, axis=0) / np.float32(c.DT)
    steps = there.shape[1]
    values = {
        "x": xy[1:, :, 0].T,
        "y": xy[1:, :, 1].T,
        "z": np.repeat(drivers.height[:, None] / 2, steps, axis=1),
        "yaw": _wrapped(states[1:, :, c.YAW].T),
        "vx": velocity[:, :, 0].T,
        "vy": velocity[:, :, 1].T,
        "length": np.repeat(drivers.length[:, None], steps, axis=1),
        "width": np.repeat(drivers.width[:, None], steps, axis=1),
        "height": np.repeat(drivers.height[:, None], steps, axis=1),
    }
    motion: dict[str, Any] = {
        name: np.ascontiguousarray(np.where(there, of, 0.0), np.float32) for name, of in values.items()
    }
    kinds = drivers.kind.astype(np.int8)
    return Tracks(
        id=np.arange(1, count + 1),
        type=kinds,
        valid=there,
        is_sdc=np.arange(count) == sdc,
        to_predict=_to_predict(xy[1 + CURRENT_STEP], kinds, there.all(1), sdc),
        of_interest=np.zeros(count, bool),
        difficulty=np.zeros(count, np.int8),
        **motion,
    )


def _wrapped(yaw: NDArray[np.float64]) -> NDArray[np.float32]:
    wrapped = ((yaw + np.pi) % (2 * np.pi) - np.pi).astype(np.float32)
    return np.where(wrapped >= np.float32(np.pi), np.float32(-np.pi), wrapped)


def _to_predict(
    now: NDArray[np.float32], kinds: NDArray[np.int8], stays: NDArray[np.bool_], sdc: int
) -> NDArray[np.bool_]:
    """The nearest that stay to the end; up to four of them pedestrians and cyclists, the nearest of these."""
    nearest = [int(i) for i in np.argsort(np.hypot(*(now - now[sdc]).T), kind="stable") if stays[i] and i != sdc]
    others = [i for i in nearest if kinds[i] != AgentType.VEHICLE][:MOST_OTHERS]
    vehicles = [i for i in nearest if kinds[i] == AgentType.VEHICLE]
    chosen = [*others, *vehicles[: NUM_TO_PREDICT - len(others)]]
    return np.isin(np.arange(len(kinds)), chosen)
