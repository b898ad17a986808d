"""Submissions to the Sim Agents Challenge: read them, check them, and pack recorded rollouts (WOSAC.md section 12)."""

from trafficgym.metrics.wosac.submission.check import Report, validate
from trafficgym.metrics.wosac.submission.messages import JointScene, ScenarioRollouts
from trafficgym.metrics.wosac.submission.metadata import Metadata
from trafficgym.metrics.wosac.submission.pack import PackConfig, Packed, RefusedError, pack
from trafficgym.metrics.wosac.submission.problems import Problem, SubmissionError
from trafficgym.metrics.wosac.submission.shards import read
from trafficgym.metrics.wosac.submission.trajectories import submitted_trajectories

__all__ = [
    "JointScene",
    "Metadata",
    "PackConfig",
    "Packed",
    "Problem",
    "RefusedError",
    "Report",
    "ScenarioRollouts",
    "SubmissionError",
    "pack",
    "read",
    "submitted_trajectories",
    "validate",
]
