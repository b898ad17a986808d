"""Time of an update of RLFTSim: 8 scenes, 4 rollouts of each, the shipped micro network.

    python benchmarks/rlftsim.py --workers 2

Runs the baseline script for some updates and takes medians of its own log, after the first visit of each scene; with
two workers on two cores each drives half of the scenes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    """Time updates."""

    workers: int = 2
    updates: int = 16
    """Counted, after 4 that are not."""


def main() -> None:
    args = tyro.cli(Args)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "trafficgym_baselines.rlftsim", "--num-scenes", "32", "--evaluate", "0"]
        command += ["--steps", str(args.updates + 4), "--workers", str(args.workers), "--out", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()][4:]
    parts = {
        name: float(np.median([line[f"seconds/{name}"] for line in lines])) for name in ("roll_out", "judge", "learn")
    }
    whole = float(np.median(np.diff([line["seconds"] for line in lines])))
    shares = ", ".join(f"{name} {value:.2f} s ({100 * value / whole:.0f} %)" for name, value in parts.items())
    print(f"{args.workers} worker(s): {whole:.2f} s an update of 8 scenes x 4 rollouts; {shares}")


if __name__ == "__main__":
    main()
