"""Nominal traffic: logs of drivers whose law is known, and that law as a policy."""

from trafficgym_scenarios.nominal.config import NominalConfig
from trafficgym_scenarios.nominal.drivers import Drivers
from trafficgym_scenarios.nominal.scenes import NominalScenes, nominal_scene

__all__ = ["Drivers", "NominalConfig", "NominalScenes", "nominal_scene"]
