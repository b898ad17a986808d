"""Ctrl-C and termination, heard between steps."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

ECHO_S = 1.0
"""Time in which a second signal counts as the first one: `timeout`, `make` and terminals deliver Ctrl-C twice."""


class StopSignals:
    """Remembers the first SIGINT or SIGTERM, so that a step is finished and saved; a later one interrupts at once.

    A signal that the process ignores stays ignored; outside the main thread nothing is heard.
    """

    def __init__(self) -> None:
        self.received: int = 0
        self._heard_at = 0.0
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN and number not in self._before:
                self._before[number] = before
                signal.signal(number, self._hear)

    def restore(self) -> None:
        """May be called twice."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.received and time.monotonic() - self._heard_at > ECHO_S:
            raise KeyboardInterrupt
        if not self.received:
            self.received, self._heard_at = number, time.monotonic()
