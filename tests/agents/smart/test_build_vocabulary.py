"""Vocabularies from scenes: snippets and cells worked out by hand, and what holds for any."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agents.smart.small_vocabulary import small_vocabulary
from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import AgentType, Scene
from trafficgym_agents.policies.smart.k_disks import KDisksConfig, cover, k_disks_motions
from trafficgym_agents.policies.smart.map_tokens import SKELETON, cut
from trafficgym_agents.policies.smart.map_vocabulary import MapVocabularyConfig, map_templates, scene_pieces
from trafficgym_agents.policies.smart.polylines import Polylines
from trafficgym_agents.policies.smart.quantisation import quantisation
from trafficgym_agents.policies.smart.snippets import SnippetConfig, contours, mirrored, scene_snippets
from trafficgym_agents.policies.smart.steady_motions import LATERAL, TOP_SPEED, steady_motions
from trafficgym_agents.policies.smart.stream_sample import StreamSample
from trafficgym_agents.policies.smart.trajtok import SMALL_TRAJTOK, Grid, TrajTokConfig, hermite, trajtok_motions
from trafficgym_agents.policies.smart.vocabulary import CLASSES, NOMINAL_SIZE, Vocabulary
from trafficgym_agents.policies.smart.vocabulary_builder import build_vocabulary
from trafficgym_baselines import build_vocabulary as command
from trafficgym_scenarios.nominal import nominal_scene

ALONE = TrajTokConfig(window=1, drop_below=0, add_above=1, mirrored=False)
"""Cells as they are seen, without regard to neighbours."""


def straight(*ends: tuple[float, float, float]) -> np.ndarray:
    """Snippets that glide to their ends, ``[N, 6, 3]``."""
    return np.array(ends)[:, None] * np.linspace(0, 1, 6)[:, None]


# Snippets


def test_snippets_of_steady_traffic() -> None:
    """10 m/s to the east: a metre per step. 91 steps hold 18 half seconds, or 86 where they overlap."""
    vehicle, pedestrian, cyclist = scene_snippets(make_scene(speed=10))
    assert vehicle.shape == (3 * 18, 6, 3) and pedestrian.shape == cyclist.shape == (0, 6, 3)
    np.testing.assert_allclose(vehicle, np.broadcast_to(straight((5, 0, 0)), vehicle.shape), atol=1e-5)
    assert len(scene_snippets(make_scene(), SnippetConfig(stride=1))[0]) == 3 * 86
    assert len(scene_snippets(make_scene(num_steps=5, current_step=0))[0]) == 0


def test_snippets_lie_in_the_frame_of_their_first_pose() -> None:
    """A cyclist goes north-west at 4 m/s, turning left by 0.05 rad per step, across the wrap at pi."""
    scene = make_scene(num_agents=1)
    step = np.arange(scene.num_steps)
    yaw = 3.0 + 0.05 * step
    x, y = np.cumsum(0.4 * np.cos(yaw)), np.cumsum(0.4 * np.sin(yaw))
    wrapped = (yaw + np.pi) % (2 * np.pi) - np.pi
    tracks = replace(
        scene.tracks,
        type=np.array([AgentType.CYCLIST], np.int8),
        **{name: values[None].astype(np.float32) for name, values in (("x", x), ("y", y), ("yaw", wrapped))},
    )
    found = scene_snippets(replace(scene, tracks=tracks))[2]
    turned = 0.05 * np.arange(1, 6)
    path = np.stack([np.cumsum(0.4 * np.cos(turned)), np.cumsum(0.4 * np.sin(turned)), turned], -1)
    np.testing.assert_allclose(found[:, 1:], np.broadcast_to(path, (18, 5, 3)), atol=1e-4)
    assert (found[:, 0] == 0).all()


def test_snippets_leave_out_gaps_short_tracks_and_flips() -> None:
    scene = make_scene()
    valid, yaw = scene.tracks.valid.copy(), scene.tracks.yaw.copy()
    valid[0, 20] = False  # the half seconds 15 to 20 and 20 to 25
    valid[1, 29:] = False  # 29 steps are too few
    yaw[2, 42:] = -np.pi  # a step of half a turn between 41 and 42
    found = scene_snippets(replace(scene, tracks=replace(scene.tracks, valid=valid, yaw=yaw)))[0]
    assert len(found) == (18 - 2) + 0 + (18 - 1)


def test_contours_are_the_nominal_box() -> None:
    found = contours(np.array([1.0, 2.0, np.pi / 2]), NOMINAL_SIZE[0])
    np.testing.assert_allclose(found, [[0, 4.4], [2, 4.4], [2, -0.4], [0, -0.4]], atol=1e-6)


def test_a_sample_of_a_stream() -> None:
    """Short streams are kept in order; of equal rows one; of long streams a share that every part is in."""
    rng = np.random.default_rng(0)
    rows = np.arange(10.0)[:, None]
    sample = StreamSample(10, rng)
    sample.add(rows[:4])
    sample.add(rows[4:])
    np.testing.assert_array_equal(sample.rows, rows)
    distinct = StreamSample(10, rng, same=0.1)
    distinct.add(np.array([[0.0, 1.0], [0.02, 1.03], [1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_array_equal(distinct.rows, [[0, 1], [1, 0]])
    long = StreamSample(1000, rng)
    for start in range(0, 100_000, 100):
        long.add(np.arange(start, start + 100)[:, None] / 1.0)
    assert len(np.unique(long.rows)) == 1000
    assert np.histogram(long.rows, 10, (0, 100_000))[0] == pytest.approx(100, abs=40)  # four standard deviations


# TrajTok


def test_cells_become_tokens_that_end_in_their_middle() -> None:
    """Cells of 1 x 0.5 m. Two snippets end in the cell around (4, 0), three around (6, 0.5), one around (8, 0)."""
    grid = Grid(x=(-2, 10), y=(-1, 1), cell=(1, 0.5), least=2)
    snippets = straight((4.1, 0, 0), (3.7, 0.1, 0), (6, 0.4, 0.1), (6.2, 0.6, 0.2), (6.1, 0.5, 0.3), (8, 0, 0))
    snippets[0, 2, 0] += 0.2
    found = trajtok_motions(snippets, grid, ALONE)
    np.testing.assert_allclose(found[:, -1], [[0, 0, 0], [4, 0, 0], [6, 0.5, 0.2]], atol=1e-12)
    assert (found[0] == 0).all() and (found[:, 0] == 0).all()
    np.testing.assert_allclose(found[1, 2], [1.6 + 0.1, 0, 0], atol=1e-12)  # the mean, which keeps its shape


def test_ends_off_the_grid_and_at_rest_make_no_token() -> None:
    grid = Grid(x=(-2, 10), y=(-1, 1), cell=(1, 0.5))
    found = trajtok_motions(straight((11, 0, 0), (4, 3, 0), (-5, 0, 0), (0.2, 0.1, 0)), grid, ALONE)
    assert found.shape == (1, 6, 3) and (found == 0).all()


def test_holes_are_filled_and_strays_dropped() -> None:
    """A block of 5 x 5 cells with a hole, and one cell far away; 24 of the window's cells are seen at the hole."""
    block = [(4 + i, j, 0.1 * j) for i in range(5) for j in range(-2, 3) if (i, j) != (2, 0)]
    grid = Grid(x=(-1, 20), y=(-5, 5), cell=(1, 1))
    found = trajtok_motions(straight(*block, (15, 0, 0)), grid, TrajTokConfig(mirrored=False))
    ends = {(round(x), round(y)) for x, y, _ in found[1:, -1]}
    assert ends == {(x, y) for x, y, _ in block} | {(6, 0)}
    filled = found[[*map(tuple, np.round(found[:, -1, :2]))].index((6, 0))]
    assert filled[-1, 2] in (-0.1, 0.0, 0.1)  # from one of the four next to it
    np.testing.assert_allclose(np.diff(filled[:, 2]), filled[-1, 2] / 5)


def test_sudden_turns_become_smooth_curves() -> None:
    snippet = straight((4, 0, 0))
    snippet[0, 1:, 2] = 0.4  # more than 10 degrees in the first step
    found = trajtok_motions(snippet, Grid(x=(-1, 9), y=(-1, 1), cell=(1, 1)), ALONE)
    np.testing.assert_allclose(found[1, :, 2], np.linspace(0, 0.4, 6))
    np.testing.assert_allclose(found[1], hermite(np.array([[4.0, 0.0]]), np.array([0.4]))[0])


@given(st.floats(-5, 20), st.floats(-3, 3), st.floats(-1.5, 1.5))
def test_hermite_curves_lead_where_they_should(x: float, y: float, yaw: float) -> None:
    curve = hermite(np.array([[x, y]]), np.array([yaw]))[0]
    np.testing.assert_allclose(curve[[0, -1]], [[0, 0, 0], [x, y, yaw]], atol=1e-12)
    flat = hermite(np.array([[x, 0.0]]), np.array([0.0]))[0]
    np.testing.assert_allclose(flat, straight((x, 0, 0))[0], atol=1e-12)


def test_left_and_right_are_alike() -> None:
    rng = np.random.default_rng(0)
    snippets = straight(*rng.uniform((0, -1, -0.3), (10, 1.5, 0.3), (500, 3)))
    grid = Grid(x=(-1, 12), y=(-2, 2), cell=(0.5, 0.25))
    found = trajtok_motions(snippets, grid, TrajTokConfig())
    there, back = (x[np.lexsort(np.round(x[:, -1, :2], 6).T)] for x in (found, mirrored(found)))
    seen = np.abs(there - back).max((1, 2)) < 1e-9
    assert seen.mean() > 0.9  # those that are filled in may have two neighbours to choose from
    np.testing.assert_allclose(there[:, -1, :2], back[:, -1, :2], atol=1e-9)


@pytest.mark.parametrize("most", [2, 40, 256])
def test_cells_grow_until_tokens_are_few_enough(most: int) -> None:
    rng = np.random.default_rng(0)
    snippets = straight(*rng.uniform((0, -1, 0), (18, 1, 0), (20_000, 3)))
    config = replace(SMALL_TRAJTOK, max_tokens=most)
    found = trajtok_motions(snippets, config.vehicle, config)
    assert most // 2 <= len(found) <= most
    assert (found[0] == 0).all()


# k-disks


def test_disks_of_three_clusters() -> None:
    """Three heaps of ten, a metre apart, within 3 cm: each is one token, its mean."""
    rng = np.random.default_rng(0)
    ends = np.repeat([1.0, 2.0, 3.0], 10) + rng.uniform(-0.015, 0.015, 30)
    snippets = straight(*((x, 0.0, 0.0) for x in ends))
    found = k_disks_motions(snippets, NOMINAL_SIZE[0], KDisksConfig(), rng=rng)
    assert (found[0] == 0).all()
    np.testing.assert_allclose(np.sort(found[1:, -1, 0]), ends.reshape(3, 10).mean(1))
    few = k_disks_motions(snippets, NOMINAL_SIZE[0], KDisksConfig(max_tokens=2), rng=rng)
    assert len(few) == 2


def test_tolerance_that_covers_all() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([[[[0.0, 0.0]]], rng.uniform(0, 10, (300, 1, 2))])
    disks = cover(points, 20, None, rng=rng)
    assert 15 <= len(disks) <= 20
    assert sorted(np.concatenate(disks)) == list(range(301))
    assert 0 in disks[0]


def test_disks_are_no_larger_than_the_tolerance() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 10, (300, 4, 2))
    for disk in cover(points, 300, 2.5, rng=rng):
        away = np.linalg.norm(points[disk][:, None] - points[disk], axis=-1).mean(-1)
        assert away.min(1).max() <= 2.5 and (away <= 2.5).all(1).any()  # one of them is the centre


# Steady motions


@pytest.mark.parametrize("code", range(3))
def test_steady_motions_are_ordinary_arcs(code: int) -> None:
    found = steady_motions(code)
    turn = found[:, 1, 2] / 0.1
    np.testing.assert_allclose(found[:, :, 2], turn[:, None] * 0.1 * np.arange(6), atol=1e-12)
    half = np.abs(found[:, 5, 2]) / 2
    chord = np.hypot(found[:, 5, 0], found[:, 5, 1])
    speed = np.where(half > 1e-9, chord * half / np.sin(np.maximum(half, 1e-12)), chord) / 0.5
    assert speed.max() == pytest.approx(TOP_SPEED[code]) and speed.min() == 0
    assert (speed * np.abs(turn)).max() <= LATERAL + 1e-6
    bearing = np.arctan2(found[:, 5, 1], found[:, 5, 0])[chord > 0]
    np.testing.assert_allclose(bearing, found[chord > 0, 5, 2] / 2, atol=1e-9)


# Map pieces


@pytest.mark.parametrize("scene", [make_scene(), nominal_scene(0)], ids=["made", "nominal"])
def test_pieces_are_those_that_become_map_tokens(scene: Scene) -> None:
    lines = Polylines.of(scene)
    points, yaw, _ = cut(lines.xy, lines.offsets)
    pieces = scene_pieces(scene)
    assert len(pieces) == len(points)
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y = np.moveaxis(points - points[:, :1], -1, 0)
    local = np.stack([cos * x + sin * y, cos * y - sin * x], -1)
    whole = np.linalg.norm(np.diff(pieces, axis=1), axis=-1).sum(1) > 4.99
    assert whole.mean() > 0.8
    np.testing.assert_allclose(pieces[whole][:, SKELETON], local[whole], atol=2e-3)
    assert np.abs(pieces[:, -1] - local[:, -1]).max() < 0.1  # the first half metre of a tail is a little shorter


def test_map_templates() -> None:
    """Straight ones and gentle bends: the first is straight, and every piece has one within its disk's diameter."""
    along = np.linspace(0, 5, 11)
    pieces = np.stack([np.stack([along, bend * along**2], -1) for bend in np.linspace(-0.1, 0.1, 201)])
    found = map_templates(pieces, MapVocabularyConfig(max_pieces=16), rng=np.random.default_rng(0))
    assert 10 <= len(found) <= 16 and found.dtype == np.float32
    np.testing.assert_array_equal(found[0], np.stack([along, 0 * along], -1))
    away = np.linalg.norm(pieces[:, None, SKELETON] - found[:, SKELETON], axis=-1).mean(-1).min(1)
    assert away.max() < 0.2
    empty = map_templates(np.zeros(0), MapVocabularyConfig(), rng=np.random.default_rng(0))
    np.testing.assert_array_equal(empty, found[:1])


# All of it


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [nominal_scene(seed) for seed in range(6)]


@pytest.mark.parametrize(
    "method", [SMALL_TRAJTOK, KDisksConfig(max_tokens=32, tolerance=None)], ids=["trajtok", "k-disks"]
)
def test_the_same_scenes_give_the_same_vocabulary(scenes: list[Scene], method: TrajTokConfig | KDisksConfig) -> None:
    def build(seed: int) -> Vocabulary:
        few = MapVocabularyConfig(max_pieces=32)
        return build_vocabulary(iter(scenes), rng=np.random.default_rng(seed), motions=method, map_pieces=few)

    first, again = build(0), build(0)
    for name in (*CLASSES, "map_pieces"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.note == again.note
    assert build(1).hash != first.hash


def test_a_vocabulary_fits_scenes_that_it_was_not_made_from(scenes: list[Scene]) -> None:
    vocabulary = build_vocabulary(
        scenes[:5], rng=np.random.default_rng(0), motions=SMALL_TRAJTOK, snippets=SnippetConfig(stride=1)
    )
    assert max(vocabulary.sizes) <= 256 and min(vocabulary.sizes) >= 100
    for motions, size in zip(vocabulary.agents, NOMINAL_SIZE, strict=True):
        np.testing.assert_array_equal(motions[0], np.broadcast_to(contours(np.zeros(3), size), (6, 4, 2)))
        lengths = np.linalg.norm(np.diff(motions, axis=2, append=motions[:, :, :1]), axis=-1)
        np.testing.assert_allclose(lengths, np.broadcast_to([size[1], size[0]] * 2, lengths.shape), atol=1e-5)
    found = quantisation(vocabulary, scenes[5:])
    assert len(found.motions[0]) > 50
    assert np.median(found.motions[0]) < 0.25 and found.map_pieces.mean() < 0.05


def test_a_class_that_nobody_belongs_to_gets_steady_motions() -> None:
    vocabulary = build_vocabulary([make_scene()], rng=np.random.default_rng(0), motions=SMALL_TRAJTOK)
    assert vocabulary.note["steady_motions"] == list(CLASSES)
    assert vocabulary.note["snippets"]["num"] == {"vehicle": 54, "pedestrian": 0, "cyclist": 0}
    assert min(vocabulary.sizes) >= 100
    reach = [motions[:, -1].mean(1)[:, 0].max() for motions in vocabulary.agents]
    np.testing.assert_allclose(reach, np.array(TOP_SPEED) / 2, rtol=0.1)


def test_nothing_to_learn_from_is_an_error() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="no scenes"):
        build_vocabulary([], rng=rng)
    with pytest.raises(ConfigError, match=r"'vehicle' none but standing still.*SMALL_TRAJTOK"):
        # All at one speed, straight on: one cell, which has no neighbours.
        build_vocabulary([make_scene(num_agents=120)] * 5, rng=rng)


def test_options_that_make_no_sense_are_refused() -> None:
    wrong = [
        lambda: SnippetConfig(stride=0),
        lambda: SnippetConfig(largest_turn=4.0),
        lambda: TrajTokConfig(window=4),
        lambda: TrajTokConfig(max_token=3),  # type: ignore[call-arg]
        lambda: Grid(x=(1, 2), y=(-1, 1), cell=(1, 1)),
        lambda: Grid(x=(-1, 2), y=(-1, 1), cell=(1, 0)),
        lambda: KDisksConfig(tolerance=0.0),
        lambda: MapVocabularyConfig(max_pieces=0),
    ]
    for make in wrong:
        with pytest.raises(ConfigError):
            make()


def test_error_of_a_vocabulary_by_hand() -> None:
    """Motions of 4 and 5 m; at 9 m/s the log goes 4.5 m: 0.5 m too far or too near, then exactly right, and so on."""
    assert quantisation(small_vocabulary(), [make_scene(speed=10)]).motions[0] == pytest.approx(0, abs=1e-4)
    errors = quantisation(small_vocabulary(), [make_scene(speed=9)]).motions[0]
    assert len(errors) == 3 * 18
    np.testing.assert_allclose(np.sort(errors), np.repeat([0, 0.5], 27), atol=1e-3)


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "v.safetensors"
    few = ["--num-scenes", "2", "--num-eval", "1", "--max-tokens", "32", "--map-pieces", "8"]
    monkeypatch.setattr(sys, "argv", ["build_vocabulary", *few, "--out", str(path)])
    command.main()
    printed = capsys.readouterr().out
    found = Vocabulary.load(path)
    assert found.hash in printed and "map piece" in printed
    assert max(found.sizes) <= 32 and len(found.map_pieces) <= 8
    assert found.note["source"] == "nominal scenes 0 to 1" and found.note["seed"] == 0
