"""Curves for TensorBoard, written without the seconds that importing torch.utils.tensorboard takes.

That module imports TensorFlow where it is installed, which takes longer than many a test; the messages and the framing
of TensorBoard's own package are all that a curve needs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO


class EventFile:
    """One file of events, later than those in the folder; TensorBoard forgets their events from `first_step` on."""

    def __init__(self, folder: Path, first_step: int) -> None:
        self._event: Any = import_module("tensorboard.compat.proto.event_pb2")
        self._summary: Any = import_module("tensorboard.compat.proto.summary_pb2").Summary
        records = import_module("tensorboard.summary.writer.record_writer")
        folder.mkdir(exist_ok=True)
        number = len(list(folder.iterdir()))  # TensorBoard reads files in the order of their names
        self._file: BinaryIO = open(folder / f"events.out.tfevents.{int(time.time())}.{number:06d}", "wb")  # noqa: SIM115
        self._records: Any = records.RecordWriter(self._file)
        self._put(file_version="brain.Event:2")
        self._put(step=first_step, session_log=self._event.SessionLog(status=self._event.SessionLog.START))

    @classmethod
    def create(cls, folder: Path, first_step: int) -> EventFile | None:
        """None where TensorBoard is not installed."""
        try:
            return cls(folder, first_step)
        except ImportError:
            return None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        scalars = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._put(step=step, summary=self._summary(value=scalars))

    def close(self) -> None:
        self._file.close()

    def _put(self, **content: Any) -> None:
        self._records.write(self._event.Event(wall_time=time.time(), **content).SerializeToString())
        self._file.flush()
