"""Tokens against those of the reference; see golden/smart/README.md, whose sections are named here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trafficgym.scene.readers import load_scene
from trafficgym.scene.scene import Scene
from trafficgym_agents.policies.smart.map_tokens import map_tokens
from trafficgym_agents.policies.smart.matching import MotionEnds, local_poses, match_motion, nearest_motions
from trafficgym_agents.policies.smart.polylines import Polylines
from trafficgym_agents.policies.smart.preprocess import AgentLog
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.tokens import AgentTokens
from trafficgym_agents.policies.smart.vocabulary import Vocabulary

ULP = 5e-4  # m, of float32 at 8 km
CLEAR_MARGIN = 5e-3  # m, section 5: below it the choice may depend on rounding
FACTS = {
    "scene1_637f20cafde22ff8": {
        "file": "data/womd/motion_data_one_scenario.tfrecord",
        "types": [0, 1003, 12, 8, 350, 164, 242, 170, 0, 172],
        "polygons": [1023, 514, 412, 172],
        "lights": {1: 59, 2: 59},
        "classes": [45, 3, 2],
        "valid": 692,
        "predicted": 594,
        "error": 0.0236,
    },
    "scene2_1096927972b9efaa": {
        "file": "golden/smart/scene2_1096927972b9efaa_first91_converted.tfrecord.gz",
        "types": [0, 602, 17, 0, 313, 55, 78, 68, 40, 470],
        "polygons": [619, 368, 186, 470],
        "lights": {1: 21, 2: 22},
        "classes": [16, 1, 1],
        "valid": 245,
        "predicted": 209,
        "error": 0.0263,
    },
}  # section 7


@pytest.fixture(scope="module")
def vocabulary(data_root: Path) -> Vocabulary:
    arrays = np.load(data_root / "golden/smart/vocab.npz")
    return Vocabulary(
        vehicle=arrays["agent_veh"],
        pedestrian=arrays["agent_ped"],
        cyclist=arrays["agent_cyc"],
        map_pieces=arrays["map_traj_src"],
    )


class Case:
    """A scene, what the reference made of it, and what the README says about it."""

    def __init__(self, data_root: Path, name: str) -> None:
        self.facts: dict[str, Any] = FACTS[name]
        self.scene: Scene = load_scene(data_root / self.facts["file"])
        self.inputs = dict(np.load(data_root / f"golden/smart/{name}_inputs.npz"))
        self.outputs = np.load(data_root / f"golden/smart/{name}_nano_hash.npz")


@pytest.fixture(scope="module", params=FACTS)
def case(data_root: Path, request: pytest.FixtureRequest) -> Case:
    return Case(data_root, request.param)


def test_polylines(case: Case) -> None:
    """poly_*: order, the last point dropped, sides of crosswalks, codes. Points of crosswalks may differ by an ulp."""
    lines, want = Polylines.of(case.scene, "source"), case.inputs
    number = np.repeat(np.arange(len(lines.type)), np.diff(lines.offsets))
    np.testing.assert_array_equal(number, want["poly_index"])
    np.testing.assert_allclose(lines.xy, want["poly_points"], rtol=0, atol=ULP)
    plain = lines.polygon[number] < 3
    np.testing.assert_array_equal(lines.xy[plain], want["poly_points"][plain])
    np.testing.assert_array_equal(case.scene.road.id[lines.feature], want["poly_feature_id"])
    np.testing.assert_array_equal(lines.polygon, want["poly_type"])
    np.testing.assert_array_equal(lines.light, want["poly_light"])
    np.testing.assert_array_equal(lines.type[number], want["poly_point_type"])


def test_map_tokens(case: Case, vocabulary: Vocabulary) -> None:
    """map_*: cutting, codes and templates; no template depends on rounding here."""
    tokens, want = Tokenizer(vocabulary, frame="source").map_tokens(case.scene), case.inputs
    np.testing.assert_allclose(tokens.points, want["map_traj_pos"], rtol=0, atol=ULP)
    turn = np.abs(np.angle(np.exp(1j * (tokens.yaw.astype(np.float64) - want["map_traj_theta"]))))
    assert (turn > 1e-5).sum() <= 2  # an ulp in a crosswalk is a thousandth of half a metre
    assert turn.max() < 2e-3
    for mine, name in (("type", "map_type"), ("polygon", "map_pl_type"), ("light", "map_light_type")):
        np.testing.assert_array_equal(getattr(tokens, mine), want[name])
    clear = want["map_match_margin"] > 1e-6
    np.testing.assert_array_equal(tokens.token[clear], want["map_token_idx"][clear])
    assert (tokens.token != want["map_token_idx"]).mean() < 0.01
    assert np.bincount(tokens.type, minlength=10).tolist() == case.facts["types"]
    assert np.bincount(tokens.polygon).tolist() == case.facts["polygons"]
    assert {code: int((tokens.light == code).sum()) for code in (1, 2)} == case.facts["lights"]


def test_map_tokens_of_the_same_polylines(case: Case, vocabulary: Vocabulary) -> None:
    """Without the ulp of crosswalks, points and directions agree to the bit, as turns by half a circle need them to."""
    want = case.inputs
    counts = np.bincount(want["poly_index"], minlength=len(want["poly_type"]))
    code = np.zeros(len(counts), np.int64)
    lines = Polylines(
        xy=want["poly_points"].astype(np.float64),
        offsets=np.cumsum([0, *counts]),
        feature=code,
        type=code,
        polygon=want["poly_type"].astype(np.int64),
        light=want["poly_light"].astype(np.int64),
    )
    tokens = map_tokens(lines, vocabulary.map_pieces)
    np.testing.assert_array_equal(tokens.points, want["map_traj_pos"])
    np.testing.assert_array_equal(tokens.yaw, want["map_traj_theta"])
    np.testing.assert_array_equal(tokens.polygon, want["map_pl_type"])


def test_agent_log(case: Case) -> None:
    """ag_*: who is kept, filled gaps, unwrapped headings, sizes, roles; then flips repaired and tracks continued."""
    log, want = AgentLog.of(case.scene, "source"), case.inputs
    assert np.bincount(log.type).tolist() == case.facts["classes"]
    np.testing.assert_array_equal(case.scene.tracks.id[log.track], want["ag_id"])
    for mine, name in (("type", "ag_type"), ("role", "ag_role"), ("valid", "ag_valid_mask"), ("xyz", "ag_position")):
        np.testing.assert_array_equal(getattr(log, mine), want[name])
    np.testing.assert_array_equal(log.z, want["gt_z_raw"])
    np.testing.assert_allclose(log.size, want["ag_shape"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(log.yaw, want["ag_heading"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(log.velocity, want["ag_velocity"], rtol=0, atol=1e-6)
    filled = log.valid & ~case.scene.tracks.valid[log.track]
    assert filled.any(1).sum() == {50: 15, 18: 2}[len(log)]
    log = log.with_steady_yaw().from_token_start()
    np.testing.assert_array_equal(log.valid, want["ag_valid_ext"])
    np.testing.assert_allclose(log.xyz[..., :2], want["ag_pos_ext"], rtol=0, atol=ULP)
    np.testing.assert_allclose(log.yaw, want["ag_heading_clean"], rtol=0, atol=1e-6)


def test_tracks(case: Case) -> None:
    """trk_*: both sides have read the same file."""
    tracks, want = case.scene.tracks, case.inputs
    np.testing.assert_array_equal(tracks.valid, want["trk_valid"])
    np.testing.assert_array_equal(tracks.id, want["trk_object_id"])
    known = want["trk_object_type"] < 3
    np.testing.assert_array_equal(tracks.type[known] - 1, want["trk_object_type"][known])
    np.testing.assert_array_equal(np.stack([tracks.is_sdc, tracks.of_interest, tracks.to_predict], 1), want["trk_role"])


@pytest.mark.parametrize("kind", ["ev", "tr"])
def test_agent_tokens(case: Case, vocabulary: Vocabulary, kind: str) -> None:
    """ev_* and tr_*, walked from end to end: a single flip would shift what follows, so that 99 % is much to ask."""
    tokens = _tokens(case, vocabulary, kind)
    want = {name.removeprefix(f"{kind}_"): values for name, values in case.inputs.items()}
    np.testing.assert_array_equal(tokens.valid, want["valid_mask"])
    assert tokens.valid.sum() == case.facts["valid"]
    same = tokens.token == want["gt_idx"]
    assert same[tokens.valid].mean() >= 0.99
    agrees = (same | ~tokens.valid).all(1)
    np.testing.assert_allclose(tokens.xy[agrees], want["gt_pos"][agrees], rtol=0, atol=2e-3)
    np.testing.assert_allclose(tokens.yaw[agrees], want["gt_heading"][agrees], rtol=0, atol=1e-4)
    np.testing.assert_allclose(tokens.raw_xy, want["gt_pos_raw"], rtol=0, atol=ULP)
    np.testing.assert_allclose(tokens.raw_yaw, want["gt_head_raw"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(tokens.raw_valid, want["gt_valid_raw"])
    np.testing.assert_array_equal(tokens.path[:, 5::5, :2], tokens.raw_xy)
    np.testing.assert_array_equal(tokens.path_valid, case.inputs["ag_valid_ext"])
    assert (tokens.valid[:, 1:-1] & tokens.valid[:, 2:]).sum() == case.facts["predicted"]


def test_matching_step_by_step(case: Case, vocabulary: Vocabulary) -> None:
    """Each slot from the pose where the reference was: exact but where two tokens are about as near (section 5)."""
    want, ends = case.inputs, MotionEnds.of(vocabulary)
    type = want["ag_type"].astype(np.int64)
    xy, yaw, same, clear, error = want["ag_pos_ext"][:, 0], want["ag_heading_clean"][:, 0], [], [], []
    for q in range(18):
        to_xy, to_yaw = want["ag_pos_ext"][:, 5 * q + 5], want["ag_heading_clean"][:, 5 * q + 5]
        valid = want["ev_valid_mask"][:, q]
        token, distance = nearest_motions(ends, type, xy, yaw, to_xy, to_yaw, 2)
        np.testing.assert_array_equal(token[:, 0], match_motion(ends, type, xy, yaw, to_xy, to_yaw))
        same.append((token[:, 0] == want["ev_gt_idx"][:, q])[valid])
        clear.append(want["ev_match_margin"][valid, q] >= CLEAR_MARGIN)
        error.append(distance[valid, 0])
        np.testing.assert_allclose(distance[valid, 0], want["ev_match_dist"][valid, q], rtol=0, atol=1e-3)
        led_xy, led_yaw = ends.place(type, np.maximum(want["ev_gt_idx"][:, q].astype(np.int64), 0), xy, yaw)
        np.testing.assert_allclose(led_xy[valid], want["ev_gt_pos"][valid, q], rtol=0, atol=2e-3)
        np.testing.assert_allclose(led_yaw[valid], want["ev_gt_heading"][valid, q], rtol=0, atol=1e-4)
        xy = np.where(valid[:, None], want["ev_gt_pos"][:, q], to_xy)
        yaw = np.where(valid, want["ev_gt_heading"][:, q], to_yaw)
    agree = np.concatenate(same)
    assert agree[np.concatenate(clear)].all()
    assert agree.mean() >= 0.99
    assert np.concatenate(error).mean() == pytest.approx(case.facts["error"], abs=1e-4)


def test_targets(case: Case, vocabulary: Vocabulary) -> None:
    """tf_target_*: the recovery tokens of teacher forcing, worked out in the agent's frame (section 4)."""
    tokens, want = _tokens(case, vocabulary, "ev"), case.outputs
    asked = want["tf_valid"] & want["tf_target_valid"]
    np.testing.assert_array_equal(tokens.valid[:, 1:-1] & tokens.valid[:, 2:], asked)
    assert tokens.target is not None
    assert (tokens.target[:, 2:] == want["tf_target_idx"])[asked].mean() >= 0.99
    for s in range(16):
        local = local_poses(
            tokens.xy[:, s + 1], tokens.yaw[:, s + 1], tokens.raw_xy[:, s + 2], tokens.raw_yaw[:, s + 2]
        )
        np.testing.assert_allclose(local[asked[:, s]], want["tf_target_local"][asked[:, s], s], rtol=0, atol=1e-3)


def test_learners(case: Case, vocabulary: Vocabulary) -> None:
    """The reference drew its 32 from those that we could have drawn, and always takes those with a role."""
    num = min(32, len(case.inputs["train_mask"]) - 1)  # in both scenes one agent is seen for too short a time
    drawn = [Tokenizer(vocabulary)(case.scene, train=True, rng=np.random.default_rng(seed)) for seed in range(12)]
    learns = np.stack([tokens.agents.learns for tokens in drawn])
    assert (learns.sum(1) == num).all()
    assert learns.any(0)[case.inputs["train_mask"]].all()
    assert learns[:, case.inputs["ag_role"].any(1)].all()


def test_scene_frame(case: Case, vocabulary: Vocabulary) -> None:
    """Near the origin float32 is finer: the same pieces and slots, and nearly all the same motions."""
    near, far = Tokenizer(vocabulary)(case.scene), Tokenizer(vocabulary, frame="source")(case.scene)
    np.testing.assert_array_equal(near.agents.valid, far.agents.valid)
    assert (near.agents.token == far.agents.token).mean() > 0.95
    shift = np.where(near.agents.raw_valid[..., None], case.scene.origin[:2], 0)
    np.testing.assert_allclose(near.agents.raw_xy + shift, far.agents.raw_xy, rtol=0, atol=ULP)
    np.testing.assert_allclose(near.map.points + case.scene.origin[:2], far.map.points, rtol=0, atol=2 * ULP)
    np.testing.assert_array_equal(near.map.type, far.map.type)


def _tokens(case: Case, vocabulary: Vocabulary, kind: str) -> AgentTokens:
    tokenizer = Tokenizer(vocabulary, frame="source")
    return tokenizer(case.scene, train=kind == "tr", rng=np.random.default_rng(0)).agents
