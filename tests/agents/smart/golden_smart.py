"""The reference's inputs and outputs, as this package's types; see the README beside the golden files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.config import PRESETS, SmartConfig
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.tokens import AgentTokens, MapTokens, SceneTokens
from trafficgym_agents.policies.smart.vocabulary import Vocabulary

SCENES = ("scene1_637f20cafde22ff8", "scene2_1096927972b9efaa")
WEIGHTS = ("nano_seed0", "nano_hash", "tiny_hash")


class Golden:
    """The folder golden/smart."""

    def __init__(self, data_root: Path) -> None:
        self.folder = data_root / "golden/smart"
        arrays = np.load(self.folder / "vocab.npz")
        self.vocabulary = Vocabulary(
            vehicle=arrays["agent_veh"],
            pedestrian=arrays["agent_ped"],
            cyclist=arrays["agent_cyc"],
            map_pieces=arrays["map_traj_src"],
        )

    def inputs(self, scene: str) -> dict[str, np.ndarray]:
        return dict(np.load(self.folder / f"{scene}_inputs.npz"))

    def outputs(self, scene: str, weights: str) -> dict[str, np.ndarray]:
        return dict(np.load(self.folder / f"{scene}_{weights}.npz"))

    def tokens(self, scene: str, kind: str = "ev") -> SceneTokens:
        """Tokenised scene by the reference: evaluation ("ev") or training ("tr")."""
        z = self.inputs(scene)
        num = len(z["ag_type"])
        path = np.concatenate([z["ag_pos_ext"], z["ag_heading_clean"][..., None]], -1).astype(np.float32)
        agents = AgentTokens(
            track=np.arange(num, dtype=np.int32),
            type=z["ag_type"].astype(np.int64),
            size=z["ag_shape"],
            role=z["ag_role"],
            z=z["gt_z_raw"],
            token=z[f"{kind}_gt_idx"].astype(np.int64),
            xy=z[f"{kind}_gt_pos"],
            yaw=z[f"{kind}_gt_heading"],
            valid=z[f"{kind}_valid_mask"],
            raw_xy=z[f"{kind}_gt_pos_raw"],
            raw_yaw=z[f"{kind}_gt_head_raw"],
            raw_valid=z[f"{kind}_gt_valid_raw"],
            path=path,
            path_valid=z["ag_valid_ext"],
            learns=z["train_mask"],
        )
        tokens = MapTokens(
            points=z["map_traj_pos"],
            yaw=z["map_traj_theta"],
            token=z["map_token_idx"].astype(np.int64),
            type=z["map_type"].astype(np.int64),
            polygon=z["map_pl_type"].astype(np.int64),
            light=z["map_light_type"].astype(np.int64),
        )
        return SceneTokens(scene_id=scene, map=tokens, agents=agents)

    def batch(self, scene: str, kind: str = "ev") -> Batch:
        return Batch.of([self.tokens(scene, kind)])

    def network(self, weights: str) -> SmartNetwork:
        """The reference's network, in evaluation mode."""
        preset, kind = weights.split("_")
        config = SmartConfig(**PRESETS[preset].__dict__ | {"zero_fill_quirk": True})
        network = SmartNetwork(config, self.vocabulary)
        entries = json.loads((self.folder / "state_dict.json").read_text())[preset]["entries"]
        seed0 = load_file(self.folder / "nano_weights.safetensors") if kind == "seed0" else None
        values = {}
        for entry in entries:
            name = entry["name"].removeprefix("encoder.")
            target = entry.get("alias_of")
            if target:
                values[name] = values[target.removeprefix("encoder.")]
            elif seed0 is not None:
                values[name] = torch.from_numpy(seed0[entry["name"]])
            else:
                values[name] = torch.from_numpy(hashed(entry["name"], entry["shape"], entry["param_index"]))
        network.load_state_dict(values, strict=True)
        return network.eval()


def hashed(name: str, shape: list[int], index: int) -> np.ndarray:
    """The "hash" weights: the recipe of the README, section 1."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) + np.uint64(index) * np.uint64(2**32)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    u = 2 * ((z >> np.uint64(11)).astype(np.float64) * 2.0**-53) - 1
    if len(shape) == 1:
        u = 1 + 0.3 * u if name.endswith(".weight") else 0.2 * u
    elif name.endswith("freqs.weight"):
        u *= 0.05
    elif "_emb.weight" in name:
        u *= 0.5
    else:
        u *= np.sqrt(6 / (shape[0] + shape[1])) * (4 if name.endswith("token_predict_head.mlp.3.weight") else 1)
    return u.reshape(shape).astype(np.float32)
