"""A training and its folder: options, state, metrics; it goes on where it was killed, to the bit."""

from __future__ import annotations

import time
import zlib
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from trafficgym.errors import ConfigError
from trafficgym_agents.training.budget import Budget
from trafficgym_agents.training.errors import TrainingError
from trafficgym_agents.training.folder_lock import FolderLock
from trafficgym_agents.training.metrics_log import MetricsLog
from trafficgym_agents.training.packing import pack, unpack
from trafficgym_agents.training.parts import (
    check_finite,
    is_shared,
    reseed,
    set_state,
    set_torch_random_state,
    state_of,
    torch_random_state,
)
from trafficgym_agents.training.progress import Progress
from trafficgym_agents.training.run_config import write_config
from trafficgym_agents.training.state_file import StateFile
from trafficgym_agents.training.stop_signals import StopSignals
from trafficgym_agents.training.worker import Worker


class Run:
    """The folder of a training, opened with ``with``; the loop stays in the script.

    ```python
    with Run(args.out, args, budget=Budget(steps=args.steps), worker=worker) as run:
        run.resume(model=model, optimizer=optimizer, rng=rng)
        for step in run.steps():
            loss = ...
            run.log(loss=loss.item())
    ```

    In it: config.json, state.safetensors and the one before it, metrics.jsonl, tensorboard/. Only the first worker
    touches it. A run that was killed at any moment, and is started again with the same options and number of workers
    on the same machine, ends with the same weights and the same lines of metrics, but for the seconds.

    Args:
        folder: Made if need be.
        args: Frozen dataclass of the script.
        budget: When the loop ends.
        worker: This process among those that train together.
        save_seconds: Interval of saving the state, all that is lost when the process is killed; 0 saves every step.
        may_change: Options that a continued run may differ in, beside the budgets (`run_config.MAY_CHANGE`).
        accept_changes: Continue whatever options differ.

    Raises:
        ConfigError: the folder holds a run with other options; the message names them.
        TrainingError: another process trains there.
    """

    def __init__(
        self,
        folder: Path | str,
        args: Any,
        *,
        budget: Budget,
        worker: Worker | None = None,
        save_seconds: float = 60.0,
        may_change: Collection[str] = (),
        accept_changes: bool = False,
    ) -> None:
        self.folder, self.budget, self.worker = Path(folder), budget, worker or Worker()
        self.step = 0
        """Finished steps, which is also the number of the step that goes on."""
        self.scenes = 0
        """Scenes that were trained on, of all workers; the script counts them."""
        self._save_seconds = save_seconds
        self._parts: dict[str, Any] | None = None
        self._spent = 0.0
        self._began: float | None = None
        self._saved_step, self._saved_at = -1, 0.0
        self._first_step = 0
        self._loss: float | None = None
        self._signals = StopSignals()
        self._progress = Progress(budget)
        self._state = StateFile(self.folder)
        self._metrics: MetricsLog | None = None
        self._lock: FolderLock | None = None
        if self.worker.is_first:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.folder)
            try:
                write_config(self.folder, args, may_change, accept_changes=accept_changes)
            except ConfigError:
                self._lock.release()
                raise

    @property
    def seconds(self) -> float:
        """Time spent in the loop, of all sessions."""
        return self._spent + (0.0 if self._began is None else time.monotonic() - self._began)

    @property
    def fraction(self) -> float:
        """Share of the budget that is spent, in [0, 1]."""
        return self.budget.fraction(self.step, self.seconds)

    def resume(self, **parts: Any) -> bool:
        """Say what training changes, and set it to the saved state, if there is one.

        Args:
            parts: Modules, optimizers and whatever else has ``state_dict`` and ``load_state_dict``, which all workers
                hold the same; NumPy and torch generators and dicts of plain values, tensors and arrays, which are
                each worker's own. Torch's default generators are saved without being named.

        Returns:
            Whether there was a state.

        Raises:
            TrainingError: the states are damaged, or of other parts; the message says what to do.
        """
        self._parts = parts
        saved = (self._state.read(self.say) or b"") if self.worker.is_first else b""
        saved = self.worker.broadcast(saved)
        if saved:
            self._restore(unpack(saved), zlib.crc32(saved))
        elif self.worker.count > 1:  # all begin with the weights of the first
            self._set_shared(unpack(self.worker.broadcast(pack(self._states(shared=True)))))
        if self.worker.is_first:
            self._metrics = MetricsLog(self.folder, self.step)
        self._first_step = self.step
        return bool(saved)

    def steps(self) -> Iterator[int]:
        """Number each step until the budget is spent; between steps the state is saved when it is time, and at the end.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM came during the step, which was finished and saved.
            TrainingError: a module's weights are not finite; the last saved state is kept.
        """
        if self._parts is None:
            raise ConfigError("nothing to train: call `resume` with the model and the optimizer before `steps`")
        import_module("torch._dynamo")  # the first step of an optimizer would, and seconds of the budget were gone
        self._began = time.monotonic()
        self._signals.install()
        while self._goes_on():
            yield self.step
            self.step += 1
            rate = (self.step - self._first_step) / max(time.monotonic() - self._began, 1e-9)
            if self.worker.is_first:
                self._progress.show(self.step, self.seconds, rate, self._loss)
        self._spent, self._began = self.seconds, None
        self._signals.restore()

    def log(self, **values: float) -> None:
        """Write a line of metrics for this step; in other workers than the first, nothing.

        Names may hold slashes, through ``**{"likelihood/speed": 0.4}``. The progress line shows `loss`.
        """
        if self._metrics:
            self._metrics.write(self.step, self.seconds, self.scenes, values)
            self._loss = float(values["loss"]) if "loss" in values else self._loss

    def say(self, text: str) -> None:
        """Print a line, in the first worker."""
        if self.worker.is_first:
            self._progress.say(text)

    def save(self) -> None:
        """Write the state now; only between steps, by all workers together.

        Raises:
            TrainingError: a module's weights are not finite.
            StoreError: the disk is full or refuses.
        """
        own = {"torch": torch_random_state(), "parts": self._states(shared=False)}
        workers = self.worker.gather(pack(own))
        self._saved_step, self._saved_at = self.step, self.seconds
        if self.worker.is_first:
            self._check_finite()
            if self._metrics:
                self._metrics.sync()
            counts = {"step": self.step, "seconds": self.seconds, "scenes": self.scenes}
            shared = self._states(shared=True)
            self._state.write(pack({**counts, "shared": shared, "workers": [unpack(data) for data in workers]}))

    def close(self) -> None:
        """Let go of the folder and the signals; ``with`` does it."""
        self._signals.restore()
        if self._metrics:
            self._metrics.close()
        if self._lock:
            self._lock.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _goes_on(self) -> bool:
        """Whether there is a next step, which all workers agree on; saves where it is time."""
        is_due = self.seconds - self._saved_at >= self._save_seconds
        spent, due, stop = self.worker.largest(
            [self.budget.is_spent(self.step, self.seconds), is_due, self._signals.received]
        )
        if (spent or due or stop) and self.step != self._saved_step:
            self.save()
        if stop:
            self.say(f"stopped after step {self.step}, which is saved; the same command goes on from there")
            raise KeyboardInterrupt
        return not spent

    def _states(self, *, shared: bool) -> dict[str, Any]:
        return {name: state_of(part) for name, part in (self._parts or {}).items() if is_shared(part) == shared}

    def _set_shared(self, states: Mapping[str, Any]) -> None:
        for name, state in states.items():
            set_state(name, (self._parts or {})[name], state)

    def _restore(self, tree: Mapping[str, Any], entropy: int) -> None:
        parts, saved_workers = self._parts or {}, tree["workers"]
        own = saved_workers[self.worker.rank % len(saved_workers)]
        for name in {**tree["shared"], **own["parts"]} | parts:
            if name not in parts or name not in {**tree["shared"], **own["parts"]}:
                raise TrainingError(
                    f"{self.folder}: the saved state and `resume` do not name the same parts: {name!r} is in one only; "
                    "train anew in another folder"
                )
        self._set_shared({**tree["shared"], **own["parts"]})
        if len(saved_workers) == self.worker.count:
            set_torch_random_state(own["torch"])
        else:
            reseed(parts, [entropy, self.worker.rank, self.worker.count])
            self.say(
                f"{len(saved_workers)} workers saved this state and {self.worker.count} go on: random numbers start "
                "anew, so the weights will differ from those of an uninterrupted run"
            )
        self.step, self._spent, self.scenes = tree["step"], tree["seconds"], tree["scenes"]
        self._saved_step, self._saved_at = self.step, self._spent

    def _check_finite(self) -> None:
        try:
            check_finite(self._parts or {})
        except TrainingError as error:
            raise TrainingError(
                f"{error} after step {self.step}; this is not saved, and the last good state, if any, stays in "
                f"{self.folder}: try a lower learning rate, or clip gradients, in another folder"
            ) from None
