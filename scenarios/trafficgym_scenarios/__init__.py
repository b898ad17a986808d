"""Generated scenes: roads, nominal traffic and, later, what goes wrong in it."""

from trafficgym_scenarios.highway import HighwayConfig, highway_scene, highway_scenes

__all__ = ["HighwayConfig", "highway_scene", "highway_scenes"]
