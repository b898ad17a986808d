"""Equal to the official implementation on its unit vectors, ``golden/wosac/micro``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trafficgym.metrics.wosac import CONFIGS
from trafficgym.metrics.wosac.histograms import Histograms, bins_of
from trafficgym.metrics.wosac.interaction import interaction
from trafficgym.metrics.wosac.kinematics import central_validity, kinematics, speed_in_plane
from trafficgym.metrics.wosac.red_lights import RedLights
from trafficgym.metrics.wosac.road_edges import RoadEdges

Load = Callable[[str], dict[str, NDArray]]

HISTOGRAMS = [name for name, one in CONFIGS["2025"].features.items() if not one.is_bernoulli]


@pytest.fixture(scope="module")
def load(data_root: Path) -> Load:
    def load(name: str) -> dict[str, NDArray]:
        with np.load(data_root / "golden/wosac" / name) as stored:
            return dict(stored)

    return load


# --- estimators -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_histogram(name: str, load: Load) -> None:
    golden, config = load("micro/estimators.npz"), CONFIGS["2025"].features[name]
    simulated, logged = golden[f"{name}_sim"], golden[f"{name}_log"]
    assert np.array_equal(config.edges, golden[f"{name}_edges"])
    ours = Histograms.of(config, logged, np.ones(logged.shape, bool))
    counts = ours.count(simulated.reshape(len(logged), 32, 80).swapaxes(0, 1)).sum(0)
    assert (counts.sum(-1) == 2560).all()
    assert ours.log_likelihood(counts) == pytest.approx(golden[f"{name}_loglik"], abs=2e-6, rel=0)


def test_the_vectors_hold_what_is_hard(load: Load) -> None:
    golden = load("micro/estimators.npz")
    hard = [golden[f"{name}_sim"] for name in HISTOGRAMS]
    assert any(np.isnan(one).any() for one in hard)
    assert any((np.abs(one) >= 1e9).any() for one in hard)
    assert any(np.isin(golden[f"{name}_sim"], golden[f"{name}_edges"][1:-1]).any() for name in HISTOGRAMS)  # on an edge


def test_bernoulli(load: Load) -> None:
    golden, config = load("micro/estimators.npz"), CONFIGS["2025"].features["collision_indication"]
    simulated, logged = golden["bern_sim"], golden["bern_log"]
    ours = Histograms.of(config, logged, np.ones(logged.shape, bool))
    counts = ours.count(simulated.T[..., None]).sum(0)
    assert ours.log_likelihood(counts) == pytest.approx(golden["bern_loglik"], abs=2e-6, rel=0)


def test_bins_by_hand() -> None:
    edges = replace(CONFIGS["2025"].features["time_to_collision"], bins=5).edges  # 0, 1, ..., 5
    values = np.array([-1e10, -0.1, 0.0, 0.999, 1.0, 4.999, 5.0, 5.1, 1e10, np.nan, np.inf, -np.inf], np.float32)
    assert bins_of(values, edges).tolist() == [0, 0, 0, 0, 1, 4, 4, 4, 4, 4, 4, 0]


def test_likelihood_by_hand() -> None:
    config = replace(CONFIGS["2025"].features["time_to_collision"], bins=5)
    logged = np.array([[0.5, 4.5], [2.5, np.nan]], np.float32)
    ours = Histograms.of(config, logged, np.array([[True, True], [True, False]]))
    simulated = np.array([[[0.1, 0.2], [2.0, 3.0]], [[0.9, 4.0], [np.nan, 9.0]]], np.float32)  # (R, E, T)
    counts = ours.count(simulated).sum(0)
    assert counts.tolist() == [[3, 0, 0, 0, 1], [0, 0, 1, 1, 2]]
    p = np.array([[3.1, 1.1], [1.1, 2.1]]) / 4.5
    assert np.exp(ours.log_likelihood(counts)) == pytest.approx(p)
    assert ours.likelihood(ours.log_likelihood(counts)) == pytest.approx((p[0, 0] * p[0, 1] * p[1, 0]) ** (1 / 3))
    of_agents = ours.likelihood_of_agents(ours.log_likelihood(counts))
    assert of_agents == pytest.approx([np.sqrt(p[0, 0] * p[0, 1]), p[1, 0]])


@pytest.mark.parametrize("aggregate_objects", [False, True])
@pytest.mark.parametrize("independent_timesteps", [False, True])
def test_which_samples_share_a_histogram(aggregate_objects: bool, independent_timesteps: bool) -> None:
    config = replace(
        CONFIGS["2025"].features["time_to_collision"],
        aggregate_objects=aggregate_objects,
        independent_timesteps=independent_timesteps,
    )
    rng = np.random.default_rng(0)
    logged, simulated = rng.uniform(0, 5, (3, 4)).astype(np.float32), rng.uniform(0, 5, (6, 3, 4)).astype(np.float32)
    ours = Histograms.of(config, logged, np.ones((3, 4), bool))
    found = np.exp(ours.log_likelihood(ours.count(simulated).sum(0)))
    for e in range(3):
        for t in range(4):
            samples = simulated[:, slice(None) if aggregate_objects else e]
            samples = samples[..., slice(None) if independent_timesteps else t].reshape(-1)
            counts = np.histogram(samples, config.edges)[0] + 0.1
            own = np.histogram(logged[e, t], config.edges)[0].argmax()
            assert found[e, t] == pytest.approx(counts[own] / counts.sum())


# --- features ---------------------------------------------------------------------------------------------------------


def test_kinematics(load: Load) -> None:
    golden = load("micro/kinematics.npz")
    found = kinematics(*golden["xyz"], golden["heading"])
    names = ("linear_speed", "linear_acceleration", "angular_speed", "angular_acceleration")
    for name, ours in zip(names, found, strict=True):
        assert np.array_equal(ours, golden[name], equal_nan=True), name
    speed_valid = central_validity(golden["valid"])
    assert np.array_equal(speed_valid, golden["speed_validity"])
    assert np.array_equal(central_validity(speed_valid), golden["acceleration_validity"])


def test_box_distance(load: Load) -> None:
    golden = load("micro/box_distance.npz")
    official = golden["dist_rounding0.7"]
    ours = np.empty_like(official)
    for k in range(official.shape[1]):
        x, y, yaw = (golden[name][:, k].reshape(1, 1, 2) for name in ("x", "y", "heading"))
        sizes = [np.ascontiguousarray(golden[name][:, k]) for name in ("length", "width")]
        found, _ = interaction(x, y, yaw, np.zeros_like(x), *sizes, np.ones((1, 2), bool), 2)
        ours[:, k] = found[0, :, 0]
    assert np.abs(ours - official).max() < 2e-6
    assert np.array_equal(ours < 0, official < 0)


def test_time_to_collision(load: Load) -> None:
    golden = load("micro/ttc.npz")
    assert (golden["ttc"] < 5).mean() > 0.02
    for k in range(len(golden["x"])):
        x, y, yaw = (golden[name][k] for name in ("x", "y", "h"))
        by_step = [np.ascontiguousarray(a.T)[None] for a in (x, y, yaw, speed_in_plane(x, y))]
        sizes = [np.ascontiguousarray(golden[name][k][:, 0]) for name in "LW"]
        _, found = interaction(*by_step, *sizes, np.ascontiguousarray(golden["valid"][k].T), 4)
        assert found[0] == pytest.approx(golden["ttc"][k], abs=1e-6, rel=0)


def polylines(points: NDArray, lengths: NDArray) -> list[NDArray[np.float32]]:
    offsets = np.cumsum([0, *lengths])
    return [points[a:b].astype(np.float32) for a, b in pairwise(offsets)]


def test_distance_to_polylines(load: Load) -> None:
    golden = load("micro/signed_distance_polylines.npz")
    edges = RoadEdges(polylines(golden["poly_points"], golden["poly_lengths"]))
    assert np.array_equal(edges.distance_of_points(golden["points"]), golden["dist_z3"])


def test_red_lights(load: Load) -> None:
    golden, scene = load("micro/red_light_637f20cafde22ff8.npz"), load("scenario_637f20cafde22ff8.npz")
    streets = np.flatnonzero(scene["lane_types"] == 2)
    lines = polylines(scene["lane_points"], scene["lane_lengths"])
    lanes, ids = [lines[k] for k in streets], scene["lane_ids"][streets]
    assert min(map(len, lanes)) < 2  # one that must be left out, with its id
    entries = scene["traffic_lights"]
    signal_ids = np.unique(entries[:, 1]).astype(np.int64)
    state, stop = np.zeros((len(signal_ids), 91), np.int8), np.zeros((len(signal_ids), 91, 2), np.float32)
    for step, lane, shows, x, y, _ in entries:
        row = np.searchsorted(signal_ids, lane)
        state[row, int(step)], stop[row, int(step)] = shows, (x, y)
    lights = RedLights(lanes, ids, signal_ids, state, stop)

    x, y = (np.ascontiguousarray(golden["xy"][..., k]) for k in range(2))
    row, segment = lights.nearest(x.reshape(-1), y.reshape(-1))
    kept = ids[[len(line) >= 2 for line in lanes]]
    assert np.array_equal(kept[row], golden["lane_id"].reshape(-1))
    assert np.array_equal(segment, golden["segment"].reshape(-1))
    found = lights.violations(x, y, np.ones((4, 91), bool))
    assert np.array_equal(found, golden["violation"])
    assert found.any()
