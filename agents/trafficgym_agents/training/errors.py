"""Why a training ended early."""

from __future__ import annotations

from trafficgym.errors import TrafficgymError


class TrainingError(TrafficgymError, RuntimeError):
    """Training cannot go on: weights that are not finite, a damaged state, a folder in use, a worker that died."""


class WorkerLostError(TrainingError):
    """Another worker is gone; what happened to that one is the reason, and this only follows from it."""
