"""Work on many scenes, over processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

from trafficgym.errors import TrafficgymError
from trafficgym.scene.scene import Scene

Unit = TypeVar("Unit")
Result = TypeVar("Result")

SCENES_PER_WORKER = 4
"""A process takes seconds to start and is not worth it for fewer."""


@dataclass(frozen=True, kw_only=True)
class SceneRead:
    """One scene of a source, or why it could not be read."""

    index: int  # in the source
    scene_id: str
    scene: Scene | None = None
    problem: str = ""  # empty where the scene is there


def read_scenes(scenes: Sequence[Scene], numbers: Iterable[int]) -> Iterator[SceneRead]:
    """The scenes with these numbers, each read when its turn comes."""
    for index in numbers:
        try:
            scene = scenes[index]
        except TrafficgymError as error:
            yield SceneRead(index=index, scene_id=f"scene number {index}", problem=str(error))
        else:
            yield SceneRead(index=index, scene_id=scene.id, scene=scene)


def num_processes(asked: int | None, num: int) -> int:
    """How many processes to use for `num` scenes; where none was asked for, no more than the scenes are worth."""
    return max(1, min(asked or os.cpu_count() or 1, num if asked else num // SCENES_PER_WORKER))


def as_done(work: Callable[[Unit], Result], units: Iterable[Unit], workers: int) -> Iterator[Result]:
    """Yield ``work(unit)`` of each unit, in any order: units are made here, and so many that no worker waits.

    Args:
        work: A module-level function, or a partial of one.
        units: Picklable.
        workers: Number of processes; 1 works in this one.

    Raises:
        TrafficgymError: a process died.
    """
    return map(work, units) if workers == 1 else _in_processes(work, units, workers)


def _in_processes(work: Callable[[Unit], Result], units: Iterable[Unit], workers: int) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    pending: set[Future[Result]] = set()
    try:
        for unit in units:
            pending.add(pool.submit(work, unit))
            while len(pending) > 2 * workers:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (task.result() for task in done)
        yield from (task.result() for task in as_completed(pending))
    except BrokenProcessPool:
        raise TrafficgymError(
            f"one of {workers} processes died, which is what happens when memory runs out; try --workers 1"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # libraries that are loaded later: every process has a core
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
