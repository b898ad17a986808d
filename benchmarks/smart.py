"""Time of SMART on one core: training steps and rollouts, beside the reference's, and where the time goes.

    python benchmarks/smart.py --data ../shared

The preset nano, weights drawn as the reference draws them, on the two scenes of the reference's own times, with its
vocabulary; then micro on a generated scene with 16 agents. A training step is forward, loss, backward, clipping, AdamW,
dropout on; rollouts begin with tokens and end with tracks, the map's encoding included, tokens drawn from the 48
likeliest. "exact" computes what relations between nodes look like, "tables" reads it from tables of 1024 rows, as
training and rollouts do by default. All times are processor time in one thread, medians of several runs; "exact", which
takes longest, runs once. The reference's were taken by others on another day, on two cores that had other work
(golden/smart/README.md section 8): they are good to a factor of two.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from trafficgym.scene.readers import load_scene
from trafficgym.scene.scene import Scene
from trafficgym_agents.algorithms import behaviour_cloning
from trafficgym_agents.algorithms.cross_entropy import Smoothing
from trafficgym_agents.policies.smart import decoding, network
from trafficgym_agents.policies.smart.attention import RelativeAttention
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.checkpoint import SHIPPED, load_smart
from trafficgym_agents.policies.smart.config import preset
from trafficgym_agents.policies.smart.network import AgentDecoder, Looks, SmartNetwork
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.vocabulary import Vocabulary
from trafficgym_scenarios.nominal import NominalConfig, nominal_scene
from trafficgym_scenarios.roads import Interval

Parts = dict[str, float]

SCENES = {
    "scene 1": "data/womd/motion_data_one_scenario.tfrecord",
    "scene 2": "golden/smart/scene2_1096927972b9efaa_first91_converted.tfrecord.gz",
}
REFERENCE_S = {
    ("scene 1", "tokenise"): 0.72,
    ("scene 2", "tokenise"): None,
    ("scene 1", "training step"): 3.20,
    ("scene 2", "training step"): 1.30,
    ("scene 1", "32 rollouts"): 36.0,
    ("scene 2", "32 rollouts"): 18.0,
}
"""The reference's own run on another day: nano, one thread."""


@dataclass(frozen=True, kw_only=True)
class Args:
    """Measure what SMART costs."""

    data: Path = Path(os.environ.get("TRAFFICGYM_TEST_DATA", "../shared"))
    """Folder that holds data/ and golden/."""
    repeats: int = 3
    rollouts: int = 32


# --- measuring --------------------------------------------------------------------------------------------------------


@contextmanager
def watched() -> Iterator[Parts]:
    """Time the parts of passes while they run, in seconds by name; what a part calls counts as that part."""
    spent: Parts = defaultdict(float)
    parts: list[tuple[Any, str, str]] = [
        (SmartNetwork, "encode_map", "map encoding"),
        (SmartNetwork, "_edges_back", "relations"),
        (network, "normalised", "relations"),
        (network, "relations", "relations"),
        (Looks, "__init__", "relations"),
        (Looks, "at_map", "relations"),
        (Looks, "at_agents", "relations"),
        (decoding.Decoder, "_back", "relations"),
        (RelativeAttention, "forward", "attention"),
        (RelativeAttention, "attend", "attention"),
        (RelativeAttention, "keys_values", "attention"),
        (AgentDecoder, "embed", "token embedding"),
        (SmartNetwork, "next_logits", "head"),
        (Sampling, "__call__", "sampling"),
        (decoding, "execute", "placing tokens"),
        (behaviour_cloning, "recovery_tokens", "loss"),
        (behaviour_cloning, "cross_entropy", "loss"),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in parts]
    inside: list[str] = []

    def timed(run: Callable[..., Any], part: str) -> Callable[..., Any]:
        def run_timed(*args: Any, **options: Any) -> Any:
            if inside:
                return run(*args, **options)
            inside.append(part)
            start = time.process_time()
            try:
                return run(*args, **options)
            finally:
                spent[part] += time.process_time() - start
                inside.pop()

        return run_timed

    for owner, name, part in parts:
        setattr(owner, name, timed(getattr(owner, name), part))
    try:
        yield spent
    finally:
        for owner, name, original in kept:
            setattr(owner, name, original)


def measure(
    run: Callable[[Parts], Any], repeats: int, first: Callable[[Parts], Any] | None = None
) -> tuple[float, Parts]:
    """Median seconds of some runs and of their parts; one run before them, `first` or such a one, does not count."""
    (first or run)(defaultdict(float))
    totals, all_parts = [], []
    for _ in range(repeats):
        with watched() as spent:
            start = time.process_time()
            run(spent)
            totals.append(time.process_time() - start)
        spent["rest"] = totals[-1] - sum(spent.values())
        all_parts.append(dict(spent))
    names = {name for parts in all_parts for name in parts}
    return float(np.median(totals)), {n: float(np.median([p.get(n, 0.0) for p in all_parts])) for n in names}


class TrainingStep:
    """Behaviour cloning of one scene, as in the reference's times."""

    def __init__(self, net: SmartNetwork, batch: Batch, table_rows: int) -> None:
        self.net, self.batch, self.rows = net, batch, table_rows
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=1e-6)

    def __call__(self, spent: Parts) -> None:
        smoothing = Smoothing(kind="plain")
        self.net.train()
        self.optimizer.zero_grad()
        loss = behaviour_cloning.imitation_loss(self.net, self.batch, smoothing=smoothing, table_rows=self.rows)
        start = time.process_time()
        loss.mean.backward()
        spent["backward"] += time.process_time() - start
        start = time.process_time()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 0.5)
        self.optimizer.step()
        spent["optimiser"] += time.process_time() - start


class RollingOut:
    """Rollouts of one scene."""

    def __init__(self, net: SmartNetwork, batch: Batch, num: int, table_rows: int) -> None:
        self.net, self.batch, self.num, self.rows = net, batch, num, table_rows

    def __call__(self, spent: Parts) -> None:
        rngs = [np.random.default_rng(seed) for seed in range(self.num)]
        decoding.roll_out(self.net, self.batch, Sampling(top_k=48), num=self.num, rngs=rngs, table_rows=self.rows)


def measure_training(net: SmartNetwork, batch: Batch, args: Args, table_rows: int) -> tuple[float, Parts]:
    """Of a step."""
    return measure(TrainingStep(net, batch, table_rows), args.repeats if table_rows else 1)


def measure_rollouts(net: SmartNetwork, batch: Batch, args: Args, table_rows: int) -> tuple[float, Parts]:
    """Of all rollouts; that before them is a single one."""
    run, first = (RollingOut(net, batch, num, table_rows) for num in (args.rollouts, 1))
    return measure(run, args.repeats if table_rows else 1, first)


# --- scenes and networks ----------------------------------------------------------------------------------------------


def reference_vocabulary(data: Path) -> Vocabulary:
    """Test data, which never leaves its folder."""
    arrays = np.load(data / "golden/smart/vocab.npz")
    return Vocabulary(
        vehicle=arrays["agent_veh"],
        pedestrian=arrays["agent_ped"],
        cyclist=arrays["agent_cyc"],
        map_pieces=arrays["map_traj_src"],
    )


def micro(vocabulary: Vocabulary) -> tuple[SmartNetwork, str]:
    """The shipped network; as long as there is none, an untrained one with 256 tokens of each class."""
    if SHIPPED["micro"].is_file():
        return load_smart("micro")[0], "as shipped"
    few = {name: getattr(vocabulary, name)[::8] for name in ("vehicle", "pedestrian", "cyclist")}
    return SmartNetwork(preset("micro"), Vocabulary(**few, map_pieces=vocabulary.map_pieces[::4])), "untrained"


def scene_with(num: int) -> Scene:
    """A generated one, with so many agents "now"."""
    config = NominalConfig(num_agents=Interval(num, num))
    scenes = (nominal_scene(seed, config) for seed in range(100))
    return next(scene for scene in scenes if scene.tracks.valid[:, scene.current_step].sum() == num)


# --- tables -----------------------------------------------------------------------------------------------------------


def parts_table(title: str, columns: dict[str, tuple[float, Parts]]) -> Table:
    """Milliseconds of each part, the largest first."""
    table = Table("part", *columns, title=f"{title}, ms")
    names = {name for _, parts in columns.values() for name in parts}
    for name in sorted(names, key=lambda name: -max(parts.get(name, 0.0) for _, parts in columns.values())):
        table.add_row(name, *(f"{1e3 * parts.get(name, 0.0):.0f}" for _, parts in columns.values()))
    table.add_row("all", *(f"{1e3 * total:.0f}" for total, _ in columns.values()))
    return table


def measure_reference_scenes(args: Args, vocabulary: Vocabulary, console: Console) -> None:
    """Nano, beside the reference."""
    columns = ("", "agents", "map tokens", "exact", "tables", "reference, its own run on another day", "times faster")
    table, details = Table(*columns, title="nano, seconds"), []
    tokenizer = Tokenizer(vocabulary)
    for name, file in SCENES.items():
        scene = load_scene(args.data / file)
        tokens = tokenizer(scene, train=True, rng=np.random.default_rng(0))
        batch, about = Batch.of([tokens]), (str(len(tokens.agents)), str(len(tokens.map)))
        seconds, _ = measure(lambda _, scene=scene: tokenizer(scene), args.repeats)
        table.add_row(f"{name}: tokenise", *about, f"{seconds:.3f}", "", *beside((name, "tokenise"), seconds))
        for what in ("training step", f"{args.rollouts} rollouts"):
            found = {}
            for way, rows in (("exact", 0), ("tables", decoding.TABLE_ROWS)):
                torch.manual_seed(0)
                net = SmartNetwork(preset("nano"), vocabulary)
                found[way] = (measure_training if what == "training step" else measure_rollouts)(net, batch, args, rows)
            times = found["exact"][0], found["tables"][0]
            table.add_row(f"{name}: {what}", *about, *(f"{s:.2f}" for s in times), *beside((name, what), *times))
            details.append(parts_table(f"nano, {name}: {what}", found))
    for one in (table, *details):
        console.print(one)


def beside(key: tuple[str, str], *seconds: float) -> tuple[str, str]:
    """The reference's time, and how often ours fit into it."""
    reference = REFERENCE_S.get(key)
    if reference is None:
        return "", ""
    return f"{reference:g}", ", ".join(f"{reference / s:.1f}" for s in seconds)


def measure_micro(args: Args, vocabulary: Vocabulary, console: Console) -> None:
    """The small network on a small scene."""
    net, kind = micro(vocabulary)
    scene = scene_with(16)
    tokens = Tokenizer(net.vocabulary)(scene)
    batch, found = Batch.of([tokens]), {}
    for way, rows in (("exact", 0), ("tables", decoding.TABLE_ROWS)):
        found[f"training step, {way}"] = measure_training(net, batch, args, rows)
        found[f"{args.rollouts} rollouts, {way}"] = measure_rollouts(net, batch, args, rows)
    console.print(parts_table(f"micro ({kind}), {len(tokens.agents)} agents, {len(tokens.map)} map tokens", found))


def main(args: Args) -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    console = Console(width=140)
    vocabulary = reference_vocabulary(args.data)
    measure_reference_scenes(args, vocabulary, console)
    measure_micro(args, vocabulary, console)


if __name__ == "__main__":
    main(tyro.cli(Args))
