"""Polylines and their pieces, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.agents.smart.small_vocabulary import small_vocabulary
from tests.scene.make_scene import make_scene
from trafficgym.scene.scene import Links, RoadMap, RoadType, Scene, Signals, SignalState
from trafficgym_agents.policies.smart.map_tokens import cut, map_tokens, nearest_pieces
from trafficgym_agents.policies.smart.polylines import CROSSWALK, EDGE, LANE, LINE, Polylines, sides
from trafficgym_agents.policies.smart.tokenizer import Tokenizer

PIECES = small_vocabulary().map_pieces
STRAIGHT, BEND, FOLD = range(3)


def along_x(*x: float) -> tuple[np.ndarray, np.ndarray]:
    """One polyline on the x axis."""
    points = np.stack([np.array(x, float), np.zeros(len(x))], 1)
    return points, np.array([0, len(x)])


@pytest.mark.parametrize(
    ("points", "pieces"),
    [
        # Two whole pieces, and a tail of 2 m: samples 20 to 24, of which the middle is 22.
        (range(13), [(0, 2.5, 5), (5, 7.5, 10), (10, 11, 12)]),
        # 22 samples to 10.5 and the end: the tail has three of its own, and floor(3 / 2) is 1.
        ((*range(12), 11.2), [(0, 2.5, 5), (5, 7.5, 10), (10, 10.5, 11.2)]),
        # Two of its own are too few behind a whole piece,
        (range(12), [(0, 2.5, 5), (5, 7.5, 10)]),
        # but a line of three samples is a tail by itself, and one of two is none.
        ((0, 0.4, 1), [(0, 0.5, 1)]),
        ((0, 0.3, 0.6), [(0, 0.5, 0.6)]),
        ((0, 0.25, 0.5), []),
        # Points more than 3 m apart are two lines; 3 m are one.
        ((0, 1, 2, 5.5, 6.5, 7.5), [(0, 1, 2), (5.5, 6.5, 7.5)]),
        ((0, 1, 2, 5), [(0, 2.5, 5)]),
        # A point alone between gaps goes,
        ((0, 1, 2, 6, 10, 12), [(0, 1, 2), (10, 11, 12)]),
        # and so does a line of two points, however long.
        ((0, 3), []),
        ((0, 0, 0), []),
        ((), []),
    ],
)
def test_cut(points: tuple[float, ...], pieces: list[tuple[float, float, float]]) -> None:
    found, yaw, owner = cut(*along_x(*points))
    np.testing.assert_allclose(found[..., 0], np.array(pieces, float).reshape(-1, 3), atol=1e-6)
    assert (found[..., 1] == 0).all() and (yaw == 0).all() and (owner == 0).all()
    assert len(yaw) == len(owner) == len(pieces)


def test_samples_follow_the_arc_and_yaw_the_first_half_metre() -> None:
    """1 m east, then north: samples 0, 5, 10 lie at 0, 2.5 and 5 m of the way."""
    xy = np.array([[0.0, 0], [1, 0], [1, 2], [1, 4]])
    found, yaw, _ = cut(xy, np.array([0, 4]))
    np.testing.assert_allclose(found, [[[0, 0], [1, 1.5], [1, 4]]], atol=1e-6)
    np.testing.assert_allclose(yaw, [0], atol=1e-6)
    found, yaw, _ = cut(xy[::-1], np.array([0, 4]))
    np.testing.assert_allclose(yaw, [-np.pi / 2], atol=1e-6)


def test_pieces_keep_to_their_polylines() -> None:
    xy = np.concatenate([along_x(0, 2, 4, 5)[0], along_x(6, 7)[0], along_x(5, 4, 3)[0]])
    found, yaw, owner = cut(xy, np.array([0, 4, 6, 9]))
    assert owner.tolist() == [0, 2]
    np.testing.assert_allclose(found[:, :, 0], [[0, 2.5, 5], [5, 4, 3]])
    np.testing.assert_allclose(np.abs(yaw), [0, np.pi], atol=1e-6)


def test_nearest_pieces_are_matched_in_their_own_frame() -> None:
    """A bend to the left stays one wherever it lies; a bend to the right is nearest to what is straight."""
    bend = PIECES[BEND][[0, 5, 10]]
    turn = np.array([[0, -1], [1, 0]], np.float32)  # rows times this turn by -90 degrees
    points = np.stack([bend, bend @ turn + 7, bend * [1, -1]]).astype(np.float32)
    yaw = np.array([0, -np.pi / 2, 0], np.float32)
    assert nearest_pieces(points, yaw, PIECES).tolist() == [[BEND], [BEND], [STRAIGHT]]
    assert nearest_pieces(points, yaw, PIECES, 2)[:2].tolist() == [[BEND, STRAIGHT], [BEND, STRAIGHT]]
    assert nearest_pieces(points, yaw, PIECES, 9).shape == (3, 3)


def test_noise_draws_among_the_nearest() -> None:
    lines = Polylines.of(make_scene())
    clean = map_tokens(lines, PIECES)
    noisy = [map_tokens(lines, PIECES, nearest=2, rng=np.random.default_rng(seed)).token for seed in (0, 0, 1)]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).any()
    assert (clean.token == STRAIGHT).all()
    assert set(noisy[0].tolist()) == {STRAIGHT, BEND}
    assert 0.3 < (noisy[0] == BEND).mean() < 0.7


@pytest.mark.parametrize("turned", [False, True])
def test_sides_of_a_crosswalk(turned: bool) -> None:
    """The sides of 2.5 m, there and back; not those of 2 m, whatever the polygon begins with."""
    polygon = np.array([[0.0, 0, 0], [2.5, 0, 0], [2.5, 2, 0], [0, 2, 0]])
    there, again = [0, 1, 2, 2.5], [2.5, 1.5, 0.5, 0]
    want_x = [*there, *there[::-1], *again, *again[::-1]]
    want_y = [0] * 8 + [2] * 8
    if turned:
        polygon = np.roll(polygon, -1, axis=0)  # begins with the side of 2 m from (2.5, 0) to (2.5, 2)
        want_x = [*again, *again[::-1], *there, *there[::-1]]
        want_y = [0] * 8 + [2] * 8
    np.testing.assert_allclose(sides(polygon), np.stack([want_x, want_y], 1))


def test_sides_of_other_polygons() -> None:
    """Of eight vertices every second counts; metres are measured in space; degenerate ones do no harm."""
    corners = np.array([[0.0, 0, 0], [4, 0, 0], [4, 1, 0], [0, 1, 0]])
    octagon = np.stack([corners, (corners + np.roll(corners, -1, axis=0)) / 2], 1).reshape(8, 3)
    np.testing.assert_allclose(sides(octagon), sides(corners))
    steep = corners + np.array([[0, 0, 0], [0, 0, 3], [0, 0, 3], [0, 0, 0]])  # 4 m of the plane are 5 m of space
    np.testing.assert_allclose(sides(steep)[:6, 0], [0, 0.8, 1.6, 2.4, 3.2, 4])
    assert np.isfinite(sides(np.zeros((4, 3)))).all() and np.isfinite(sides(np.zeros((1, 3)))).all()
    assert len(sides(np.zeros((0, 3)))) == 0


def test_polylines_of_a_road() -> None:
    """Lanes, then edges, then lines; the last point of each is left out; the signal of lane 1 is red "now"."""
    scene = make_scene()
    lines = Polylines.of(scene)
    assert lines.feature.tolist() == [0, 1, 2, 3, 5, 6, 4]
    assert lines.polygon.tolist() == [LANE] * 4 + [EDGE] * 2 + [LINE]
    assert lines.type.tolist() == [1, 1, 1, 1, 4, 4, 6]
    assert lines.light.tolist() == [0, 2, 0, 0, 0, 0, 0]
    assert np.diff(lines.offsets).tolist() == [100, 100, 100, 100, 200, 200, 200]
    np.testing.assert_array_equal(lines.xy[:100, 0], np.arange(100))
    far = Polylines.of(scene, "source")
    np.testing.assert_allclose(far.xy, lines.xy + scene.origin[:2], atol=1e-3)
    assert Polylines.of(replace(scene, current_step=60)).light.tolist() == [0, 3, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("type", "code", "polygon"),
    [
        (RoadType.LANE_UNDEFINED, 1, LANE),
        (RoadType.LANE_FREEWAY, 0, LANE),
        (RoadType.LANE_SURFACE_STREET, 1, LANE),
        (RoadType.LANE_BIKE, 3, LANE),
        (RoadType.EDGE_UNKNOWN, 3, EDGE),
        (RoadType.EDGE_BOUNDARY, 4, EDGE),
        (RoadType.EDGE_MEDIAN, 5, EDGE),
        (RoadType.LINE_UNKNOWN, 8, LINE),
        (RoadType.LINE_BROKEN_SINGLE_WHITE, 6, LINE),
        (RoadType.LINE_SOLID_SINGLE_WHITE, 7, LINE),
        (RoadType.LINE_SOLID_DOUBLE_WHITE, 8, LINE),
        (RoadType.LINE_BROKEN_SINGLE_YELLOW, 6, LINE),
        (RoadType.LINE_BROKEN_DOUBLE_YELLOW, 6, LINE),
        (RoadType.LINE_SOLID_SINGLE_YELLOW, 7, LINE),
        (RoadType.LINE_SOLID_DOUBLE_YELLOW, 8, LINE),
        (RoadType.LINE_PASSING_DOUBLE_YELLOW, 8, LINE),
        (RoadType.CROSSWALK, 9, CROSSWALK),
        (RoadType.SPEED_BUMP, 9, CROSSWALK),
        (RoadType.DRIVEWAY, 9, CROSSWALK),
    ],
)
def test_codes_of_features(type: RoadType, code: int, polygon: int) -> None:
    """golden/smart/README.md section 6, 6."""
    road = replace(make_scene().road, type=np.full(7, type, np.int8))
    lines = Polylines.of(_bare(road))
    assert lines.type.tolist() == [code] * 7
    assert lines.polygon.tolist() == [polygon] * 7


def test_stop_signs_mark_lanes_and_are_no_polylines() -> None:
    """A stop sign governs a surface street and a bike lane, which stays one."""
    road = make_scene().road
    type = road.type.copy()
    type[1], type[6] = RoadType.LANE_BIKE, RoadType.STOP_SIGN
    road = replace(road, type=type, stop_lanes=Links.from_lists([[]] * 6 + [[0, 1]]))
    lines = Polylines.of(_bare(road))
    assert 6 not in lines.feature
    assert lines.type[:4].tolist() == [2, 3, 1, 1]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (SignalState.UNKNOWN, 1),
        (SignalState.ARROW_STOP, 2),
        (SignalState.STOP, 2),
        (SignalState.FLASHING_STOP, 2),
        (SignalState.ARROW_GO, 3),
        (SignalState.GO, 3),
        (SignalState.ARROW_CAUTION, 4),
        (SignalState.CAUTION, 4),
        (SignalState.FLASHING_CAUTION, 4),
        (None, 0),
    ],
)
def test_codes_of_lights(state: SignalState | None, code: int) -> None:
    """At the current step alone; no entry there is no light."""
    scene = make_scene()
    signals = scene.signals
    shown = np.full(signals.state.shape, SignalState.GO, np.int8)
    valid = np.ones(shown.shape, bool)
    shown[:, scene.current_step], valid[:, scene.current_step] = state or 0, state is not None
    lines = Polylines.of(replace(scene, signals=replace(signals, state=shown, valid=valid)))
    assert lines.light[lines.feature == 1].tolist() == [code]
    nowhere = replace(signals, lane=np.array([-1], np.int32))
    assert Polylines.of(replace(scene, signals=nowhere)).light.sum() == 0


@pytest.mark.parametrize("frame", ["scene", "source"])
def test_no_map(frame: str) -> None:
    """One token, far from everything."""
    scene = _bare(RoadMap.empty())
    tokens = Tokenizer(small_vocabulary(), frame=frame).map_tokens(scene)  # type: ignore[arg-type]
    assert len(tokens) == 1
    assert tokens.token.tolist() == [STRAIGHT]
    origin = scene.origin[:2] if frame == "source" else np.zeros(2)
    np.testing.assert_allclose(tokens.points[0, 0], origin + 6e4)
    short = replace(make_scene().road, xyz=np.zeros_like(make_scene().road.xyz))
    assert len(Tokenizer(small_vocabulary()).map_tokens(_bare(short))) == 1


def _bare(road: RoadMap) -> Scene:
    """The made scene with another road and no signals."""
    scene = make_scene()
    return replace(scene, road=road, signals=Signals.empty(scene.num_steps))
