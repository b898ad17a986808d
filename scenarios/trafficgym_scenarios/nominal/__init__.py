"""Nominal traffic: logs of drivers whose law is known, and that law as a policy."""

# ruff: noqa: E402 (stale kernels go before the first is loaded)
from trafficgym_scenarios.nominal.kernels import discard_stale_kernels

discard_stale_kernels()

from trafficgym_scenarios.nominal.config import NominalConfig
from trafficgym_scenarios.nominal.drivers import Drivers
from trafficgym_scenarios.nominal.expert import ExpertPolicy, expert_policy
from trafficgym_scenarios.nominal.scenes import NominalScenes, nominal_scene

__all__ = ["Drivers", "ExpertPolicy", "NominalConfig", "NominalScenes", "expert_policy", "nominal_scene"]
