"""Metrics: pure functions of recorded rollouts to a value per agent and its mask, and their summary per policy."""

from trafficgym.metrics.bootstrap import Bootstrap, Interval, paired_difference, ratio_interval
from trafficgym.metrics.criticality import encounters, max_drac, min_ttc, pet
from trafficgym.metrics.distribution import Bins, FeatureBins, compare_features, histograms, jensen_shannon
from trafficgym.metrics.habits import HabitCounts, Habits, divergences
from trafficgym.metrics.infractions import (
    at_fault_collision,
    collision,
    goal,
    infeasible,
    off_road,
    red_light,
    wrong_way,
)
from trafficgym.metrics.reconstruction import ade, ate, cte, fde, min_ade
from trafficgym.metrics.summary import METRICS, Row, SceneMeasures, differences, measure, summarise, summarise_measures
from trafficgym.metrics.trajectories import Masked, measured_agents

__all__ = [
    "METRICS",
    "Bins",
    "Bootstrap",
    "FeatureBins",
    "HabitCounts",
    "Habits",
    "Interval",
    "Masked",
    "Row",
    "SceneMeasures",
    "ade",
    "at_fault_collision",
    "ate",
    "collision",
    "compare_features",
    "cte",
    "differences",
    "divergences",
    "encounters",
    "fde",
    "goal",
    "histograms",
    "infeasible",
    "jensen_shannon",
    "max_drac",
    "measure",
    "measured_agents",
    "min_ade",
    "min_ttc",
    "off_road",
    "paired_difference",
    "pet",
    "ratio_interval",
    "red_light",
    "summarise",
    "summarise_measures",
    "wrong_way",
]
