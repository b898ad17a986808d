"""Make a vocabulary of motions and map pieces, and say how well it fits scenes that it was not made from.

    python -m trafficgym_baselines.build_vocabulary --out vocabulary.safetensors
    python -m trafficgym_baselines.build_vocabulary --scenes train --max-tokens None --map-pieces 1024 --stride 5

Details: without --scenes, nominal traffic is generated. Motions are found by TrajTok's grid, which serves small data
better than k-disks: made from 20 generated scenes, 256 tokens keep vehicles within 0.14 m of logs that they were not
made from, on average, against 0.19 m; made from 200, both keep them within 0.12 m, and k-disks keep pedestrians closer.
A vocabulary belongs to the models that were trained with it; its hash says which it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from trafficgym.errors import ConfigError, TrafficgymError
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import open_scenes
from trafficgym_agents.policies.smart.k_disks import KDisksConfig
from trafficgym_agents.policies.smart.map_vocabulary import MapVocabularyConfig
from trafficgym_agents.policies.smart.quantisation import quantisation
from trafficgym_agents.policies.smart.snippets import SnippetConfig
from trafficgym_agents.policies.smart.trajtok import SMALL_TRAJTOK, TrajTokConfig
from trafficgym_agents.policies.smart.vocabulary import CLASSES, Vocabulary
from trafficgym_agents.policies.smart.vocabulary_builder import build_vocabulary
from trafficgym_scenarios import nominal_scenes


@dataclass(frozen=True, kw_only=True)
class Args:
    """Make a vocabulary for SMART."""

    scenes: Path | None = None
    """Store, file or folder of scenes, every fifth of which is held out; generated ones by default."""
    num_scenes: int = 200
    """How many are generated."""
    num_eval: int = 50
    """Held-out scenes to measure on."""
    method: Literal["trajtok", "k-disks"] = "trajtok"
    max_tokens: int | None = 256
    """Per class. None: the paper's grids, or 2048 disks of 5 cm; they need real scenes, and many."""
    map_pieces: int = 256
    stride: int = 1
    """Steps from one snippet of a track to the next; 5 where there are thousands of scenes."""
    seed: int = 0
    """Of what is drawn, and of generated scenes."""
    out: Path = Path("vocabulary.safetensors")


def split(args: Args) -> tuple[Iterable[Scene], Iterable[Scene], str]:
    """Scenes to learn from, others to measure on, and what they are; each is made or read when its turn comes."""
    if args.scenes is None:
        first = args.seed * (args.num_scenes + args.num_eval)
        scenes: Sequence[Scene] = nominal_scenes(args.num_scenes + args.num_eval, first)
        known, held_out = list(range(args.num_scenes)), range(args.num_scenes, len(scenes))
        source = f"nominal scenes {first} to {first + args.num_scenes - 1}"
        return chosen(scenes, known), chosen(scenes, held_out), source
    scenes = open_scenes(args.scenes)
    held_out, known = range(0, len(scenes), 5)[: args.num_eval], [i for i in range(len(scenes)) if i % 5]
    if len(scenes) < 5:
        print(f"{args.scenes} holds {len(scenes)} scenes: too few to hold any out, so the same ones measure")
        held_out, known = range(len(scenes)), list(range(len(scenes)))
    else:
        print(f"{args.scenes} holds {len(scenes)} scenes, every fifth of which is held out")
    return chosen(scenes, known), chosen(scenes, held_out), str(args.scenes)


def chosen(scenes: Sequence[Scene], numbers: Iterable[int]) -> Iterable[Scene]:
    """Some scenes, one after the other."""
    return (scenes[i] for i in numbers)


def method(args: Args) -> TrajTokConfig | KDisksConfig:
    """The settings of the method."""
    if args.method == "trajtok":
        return TrajTokConfig() if args.max_tokens is None else replace(SMALL_TRAJTOK, max_tokens=args.max_tokens)
    if args.max_tokens is None:
        return KDisksConfig()
    return KDisksConfig(max_tokens=args.max_tokens, tolerance=None, mirrored=True)


def print_fit(vocabulary: Vocabulary, held_out: Iterable[Scene]) -> None:
    """A table of sizes and of errors on held-out scenes."""
    found, note = quantisation(vocabulary, held_out), vocabulary.note
    print(f"{'':12}{'templates':>10}{'made from':>12}{'measured on':>12}  error: mean   95 %  largest [m]")
    rows = [
        (name, vocabulary.sizes[i], note["snippets"]["num"][name], found.motions[i]) for i, name in enumerate(CLASSES)
    ]
    rows.append(("map piece", len(vocabulary.map_pieces), note["map_pieces"]["num"], found.map_pieces))
    for name, size, made_from, errors in rows:
        measured = f"{errors.mean():13.3f}{np.percentile(errors, 95):7.3f}{errors.max():9.3f}" if len(errors) else ""
        print(f"{name:12}{size:10}{made_from:12}{len(errors):12}{measured}")
    for name in note["steady_motions"]:
        print(f"few {name}s move in these scenes; steady motions were added to theirs")


def main() -> None:
    args = tyro.cli(Args, prog="build_vocabulary")
    if args.num_scenes < 1 or args.num_eval < 1:
        raise ConfigError("--num-scenes and --num-eval must be 1 or more")
    began = time.perf_counter()
    known, held_out, source = split(args)
    vocabulary = build_vocabulary(
        known,
        rng=np.random.default_rng(args.seed),
        motions=method(args),
        snippets=SnippetConfig(stride=args.stride),
        map_pieces=MapVocabularyConfig(max_pieces=args.map_pieces),
        note={"source": source, "seed": args.seed},
    )
    print(f"made a vocabulary of {vocabulary.note['num_scenes']} scenes in {time.perf_counter() - began:.0f} s")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.save(args.out)
    print_fit(vocabulary, held_out)
    print(f"wrote {args.out}, hash {vocabulary.hash}")


if __name__ == "__main__":
    try:
        main()
    except TrafficgymError as error:
        raise SystemExit(f"error: {error}") from None
