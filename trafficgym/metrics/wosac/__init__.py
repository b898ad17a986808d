"""Realism by the metric of the Waymo Open Sim Agents Challenge, exact and fast; see docs/realism.md for its licence."""

from trafficgym.metrics.wosac.config import BUCKETS, CONFIGS, FeatureConfig, WosacConfig, find_config
from trafficgym.metrics.wosac.features import Features
from trafficgym.metrics.wosac.gaps import fill_gaps
from trafficgym.metrics.wosac.realism import LeaveOneOut, Realism
from trafficgym.metrics.wosac.score import SceneScore, Score, mean_score

__all__ = [
    "BUCKETS",
    "CONFIGS",
    "FeatureConfig",
    "Features",
    "LeaveOneOut",
    "Realism",
    "SceneScore",
    "Score",
    "WosacConfig",
    "fill_gaps",
    "find_config",
    "mean_score",
]
