"""The same training function on one process, or on several that average their gradients."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from trafficgym.errors import ConfigError, TrafficgymError
from trafficgym_agents.training.errors import TrainingError, WorkerLostError
from trafficgym_agents.training.stop_signals import ECHO_S
from trafficgym_agents.training.worker import Worker

Args = TypeVar("Args")

INTERRUPTED = 130  # what a shell calls a process that Ctrl-C ended
_GRACE_S = 2.0  # that the others have to say what they know, once one has failed
_PATIENCE = timedelta(hours=1)  # for a worker that lives and does not answer; a dead one is noticed at once


def run_workers(train: Callable[[Args, Worker], None], args: Args, workers: int = 1) -> None:
    """Call ``train(args, worker)`` in so many processes, each with one thread; one works in this process.

    Ctrl-C is passed on: `Run` saves the state between two steps, and the process ends with status 130. A second one
    ends everything at once. Where something else made the processes and their group (torchrun, Ray), call
    ``train(args, Worker.current())`` instead.

    Args:
        train: A function of a module, so that other processes find it.
        args: The options of the script; must be picklable.
        workers: Number of processes.

    Raises:
        TrainingError: a worker failed or was killed; the others are ended, and the message says which and why.
        SystemExit: interrupted.
    """
    if workers < 1:
        raise ConfigError(f"workers is {workers}; it must be 1 or more")
    if workers == 1:
        torch.set_num_threads(1)  # networks as small as these are slower on more, and far slower on busy cores
        try:
            return train(args, Worker())
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
    with tempfile.TemporaryDirectory(prefix="trafficgym-") as folder:
        _Crew(train, args, workers, Path(folder) / "rendezvous").work()


class _Crew:
    """The worker processes, seen from the one that started them."""

    def __init__(self, train: Callable[[Args, Worker], None], args: Args, count: int, rendezvous: Path) -> None:
        self.orders = [
            _Order(train=train, args=args, worker=Worker(rank, count), rendezvous=str(rendezvous))
            for rank in range(count)
        ]
        self.is_stopping, self.stopped_at = False, 0.0
        self.processes: list[BaseProcess] = []
        self.reports: list[connection.Connection] = []

    def work(self) -> None:
        """Start them, and return when all are done.

        Raises:
            TrainingError: one failed or was killed.
            SystemExit: interrupted.
        """
        before = {number: signal.signal(number, self._pass_on) for number in _signals()}
        try:
            self._start()
            while waiting := [process.sentinel for process in self.processes if process.exitcode is None]:
                connection.wait(waiting)
                if any(process.exitcode not in (None, 0, INTERRUPTED) for process in self.processes):
                    self._fail()
        finally:
            self._kill()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.is_stopping or any(process.exitcode == INTERRUPTED for process in self.processes):
            raise SystemExit(INTERRUPTED)

    def _start(self) -> None:
        context = _context()
        for order in self.orders:
            report, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(order, theirs))  # type: ignore[attr-defined]
            process.start()
            theirs.close()
            self.processes.append(process)
            self.reports.append(report)
        if self.is_stopping:  # the signal came while there was nobody to pass it on to
            self._ask_to_stop()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self.is_stopping and time.monotonic() - self.stopped_at > ECHO_S:
            self._kill()
        elif not self.is_stopping:
            self.is_stopping, self.stopped_at = True, time.monotonic()
            self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        for process in self.processes:
            process.terminate()

    def _fail(self) -> None:
        """Wait a little for the others, who may know more, end them, and say what happened."""
        until = time.monotonic() + _GRACE_S
        while (left := until - time.monotonic()) > 0:
            alive = [process.sentinel for process in self.processes if process.exitcode is None]
            if not alive:
                break
            connection.wait(alive, left)
        failures = [self._failure(rank) for rank, process in enumerate(self.processes) if process.exitcode]
        self._kill()
        if not self.is_stopping:
            failures.sort(key=lambda failure: failure.is_consequence)
            raise TrainingError(failures[0].text)

    def _failure(self, rank: int) -> _Failure:
        code, who = self.processes[rank].exitcode or 0, f"worker {rank} of {len(self.processes)}"
        try:
            report = json.loads(self.reports[rank].recv_bytes()) if self.reports[rank].poll() else None
        except (EOFError, OSError, ValueError):
            report = None
        if report:
            return _Failure(f"{who} failed: {report['text']}", is_consequence=report["is_consequence"])
        if code < 0:
            name = signal.Signals(-code).name
            hint = ", perhaps for want of memory; try fewer workers or smaller batches" if name == "SIGKILL" else ""
            return _Failure(f"{who} was killed ({name}){hint}; the last saved state is kept", is_consequence=False)
        return _Failure(f"{who} ended with status {code}", is_consequence=code == INTERRUPTED)

    def _kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


@dataclass(frozen=True)
class _Failure:
    text: str
    is_consequence: bool  # of another worker's


@dataclass(frozen=True)
class _Order:
    """What a worker process is told."""

    train: Callable[[Any, Worker], None]
    args: Any
    worker: Worker
    rendezvous: str


def _work(order: _Order, report: connection.Connection) -> None:
    """Body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears it too, and asks with SIGTERM
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        _join(order)
        order.train(order.args, order.worker)
        dist.destroy_process_group()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        told = str(error) if isinstance(error, TrafficgymError) else f"{error!r}\n{traceback.format_exc()}"
        is_consequence = isinstance(error, WorkerLostError)
        report.send_bytes(json.dumps({"text": told, "is_consequence": is_consequence}).encode())
        sys.exit(1)


def _join(order: _Order) -> None:
    """Form the group of all workers, over the loopback interface."""
    if sys.platform.startswith("linux"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo",
        init_method=f"file://{order.rendezvous}",
        rank=order.worker.rank,
        world_size=order.worker.count,
        timeout=_PATIENCE,
    )


def _end_with_parent() -> None:
    """Without this a worker would train on after the first process was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _context() -> BaseContext:
    """Processes that fork from one that has loaded torch and nothing else, where there are such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch._dynamo", "torch.distributed"])
    return context


def _signals() -> list[signal.Signals]:
    """Those to pass on; only the main thread can hear them."""
    is_main = threading.current_thread() is threading.main_thread()
    return [signal.SIGINT, signal.SIGTERM] if is_main else []
