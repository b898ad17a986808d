"""Nominal traffic: logs of drivers whose law is known, and that law as a policy."""

from trafficgym_scenarios.nominal.config import NominalConfig
from trafficgym_scenarios.nominal.drivers import Drivers
from trafficgym_scenarios.nominal.expert import ExpertPolicy, expert_policy
from trafficgym_scenarios.nominal.scenes import nominal_scene, nominal_scenes

__all__ = ["Drivers", "ExpertPolicy", "NominalConfig", "expert_policy", "nominal_scene", "nominal_scenes"]
