"""How fast scenes are converted and read back, and how many bytes they take.

    python benchmarks/convert.py --scenes /path/to/womd [--rounds 5]

Prints, for one core and with the reading of the sources included: scenes per second; bytes of the store over bytes of
the sources; milliseconds to read any one scene back (median, 99th percentile, worst); milliseconds to open the store;
and the most memory that the process held. Times are of the processor, so that a busy machine changes them little; the
wall clock's stand in brackets.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from trafficgym.scene.convert import ConvertOptions, convert
from trafficgym.scene.readers import Skipped, find_sources, read
from trafficgym.scene.store import SceneStore


@dataclass(frozen=True, kw_only=True)
class Args:
    """Measure converting and reading back."""

    scenes: Path = Path("../shared/data/womd_converted")
    """A source file, or a folder of them."""
    rounds: int = 5
    """How often to repeat each measurement; the best conversion and all reads count."""


class Times(NamedTuple):
    """Of one piece of work, in seconds."""

    processor: float
    wall: float


def main() -> None:
    args = tyro.cli(Args)
    files = find_sources([args.scenes])
    source_bytes = sum(file.stat().st_size for file in files)
    reading = min(measure(lambda: read_all(files)) for _ in range(args.rounds))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(i) for i in range(args.rounds)]
        converting = min(measure(partial(convert, [args.scenes], path, ConvertOptions())) for path in paths)
        store = SceneStore(paths[0])
        opening = min(measure(lambda: SceneStore(store.path)[0]) for _ in range(args.rounds))
        reads = [measure(partial(store.__getitem__, i)) for _ in range(args.rounds) for i in range(len(store))]
    rate = Times(*(len(store) / seconds for seconds in converting))
    reads_ms = 1e3 * np.array(reads)
    print(f"scenes                {len(store)}, {len(store.skipped)} skipped")
    print(f"convert               {rate.processor:.1f} scenes/s ({rate.wall:.1f})")
    print(f"  of it reading       {reading.processor / converting.processor:.0%}")
    print(f"bytes of the sources  {store.manifest.num_bytes / source_bytes:.3f}")
    print(f"bytes per scene       {store.manifest.num_bytes // len(store):,}")
    print(f"open, first scene     {1e3 * opening.processor:.2f} ms ({1e3 * opening.wall:.2f})")
    for name, (processor_ms, wall_ms) in {
        "median": np.median(reads_ms, axis=0),
        "99th percentile": np.percentile(reads_ms, 99, axis=0),
        "worst": reads_ms.max(axis=0),
    }.items():
        print(f"read, {name:<16}{processor_ms:.2f} ms ({wall_ms:.2f})")
    print(f"peak memory           {peak_bytes() / 1e6:.0f} MB resident")


def read_all(files: list[Path]) -> int:
    return sum(not isinstance(item, Skipped) for file in files for item in read(file))


def measure(work: Callable[[], object]) -> Times:
    began = time.process_time(), time.perf_counter()
    work()
    return Times(time.process_time() - began[0], time.perf_counter() - began[1])


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    main()
