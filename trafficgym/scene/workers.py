"""Work spread over processes, with the results in the order of the work."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from multiprocessing import connection, get_context, parent_process
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import TypeVar

from trafficgym.errors import TrafficgymError

_Unit = TypeVar("_Unit")
_Result = TypeVar("_Result")
Tick = Callable[[], None]

_POLL_S = 0.2


def in_order(
    work: Callable[[_Unit, Tick], _Result], units: Sequence[_Unit], workers: int, on_ticks: Callable[[int], None]
) -> Generator[_Result]:
    """Yield ``work(unit, tick)`` of each unit in turn; closing the iterator stops what is still going on.

    Args:
        work: A module-level function, which calls `tick` often; that is where it is stopped.
        units: What to work on; must be picklable.
        workers: Number of processes; 1 works in this one.
        on_ticks: Called in this process with the number of ticks so far.

    Raises:
        TrafficgymError: a worker was killed from outside.
    """
    if workers == 1 or len(units) < 2:
        return _one_by_one(work, units, on_ticks)
    return _in_processes(work, units, min(workers, len(units)), on_ticks)


def _one_by_one(
    work: Callable[[_Unit, Tick], _Result], units: Sequence[_Unit], on_ticks: Callable[[int], None]
) -> Generator[_Result]:
    ticks = count(1)
    for unit in units:
        yield work(unit, lambda: on_ticks(next(ticks)))


def _in_processes(
    work: Callable[[_Unit, Tick], _Result], units: Sequence[_Unit], workers: int, on_ticks: Callable[[int], None]
) -> Generator[_Result]:
    context = get_context("spawn")  # forking a process that has threads (Arrow, TensorFlow) may deadlock
    ticks, stop = context.Value("q", 0), context.Event()
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(ticks, stop))
    try:
        for future in [executor.submit(_call, work, unit) for unit in units]:
            while not wait([future], timeout=_POLL_S).done:
                on_ticks(ticks.value)
            yield future.result()
    except BrokenProcessPool as error:
        raise TrafficgymError(
            "a worker process was killed, perhaps for want of memory; run the same again with fewer --workers"
        ) from error
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


class _Stopped(Exception):
    """Ends the work of a unit whose result nobody waits for."""


_shared: tuple[Synchronized[int], Event]  # of a worker process


def _begin(ticks: Synchronized[int], stop: Event) -> None:
    global _shared  # noqa: PLW0603 - an initializer has no other way to give a worker anything
    _shared = ticks, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and stops the work
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """Without this a worker would outlive a parent that was killed, and write into what the next run is writing."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _call(work: Callable[[_Unit, Tick], _Result], unit: _Unit) -> _Result:
    return work(unit, _tick)


def _tick() -> None:
    ticks, stop = _shared
    with ticks.get_lock():
        ticks.value += 1
    if stop.is_set():
        raise _Stopped
