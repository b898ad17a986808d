"""One line that says how far a training is."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from trafficgym_agents.training.budget import Budget

_TERMINAL_S, _LOG_S = 0.5, 10.0  # between lines; a terminal shows one line that changes


class Progress:
    """Prints step, share of the budget, rate, loss and time left: on a terminal in place, else a line every 10 s."""

    def __init__(self, budget: Budget, stream: TextIO | None = None) -> None:
        self._budget, self._stream = budget, stream or sys.stdout
        self._is_terminal = self._stream.isatty()
        self._interval = _TERMINAL_S if self._is_terminal else _LOG_S
        self._shown = time.monotonic()
        self._has_line = False

    def show(self, step: int, seconds: float, rate: float, loss: float | None) -> None:
        """Print, if the last line is old enough.

        Args:
            step: Finished steps.
            seconds: Spent in all.
            rate: Steps per second of late.
            loss: What to show as such, if anything.
        """
        now = time.monotonic()
        if now - self._shown >= self._interval:
            self._shown = now
            text = progress_line(self._budget, step, seconds, rate, loss)
            self._stream.write(f"\r{text}\x1b[K" if self._is_terminal else f"{text}\n")
            self._stream.flush()
            self._has_line = self._is_terminal

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._stream.write(f"\n{text}\n" if self._has_line else f"{text}\n")
        self._stream.flush()
        self._has_line = False


def progress_line(budget: Budget, step: int, seconds: float, rate: float, loss: float | None) -> str:
    """For example ``step 1200   62 %   3.4 steps/s   loss 2.31   3:35 left``."""
    shown = "" if loss is None else f"   loss {loss:.4g}"
    speed = f"{rate:.1f} steps/s" if rate >= 1 or not rate else f"{1 / rate:.1f} s/step"
    share = f"{100 * budget.fraction(step, seconds):.0f} %"
    return f"step {step}   {share}   {speed}{shown}   {_left(budget, step, seconds, rate)}"


def _left(budget: Budget, step: int, seconds: float, rate: float) -> str:
    ends = [] if budget.seconds is None else [budget.seconds - seconds]
    if budget.steps is not None and rate > 0:
        ends.append((budget.steps - step) / rate)
    if not ends:
        return "? left"
    minutes, rest = divmod(max(0, round(min(ends))), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} left" if hours else f"{minutes}:{rest:02d} left"
