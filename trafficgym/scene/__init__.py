"""What is given: scenes, their readers, and the store."""

from trafficgym.scene.scene import AgentType, Links, RoadMap, RoadType, Scene, Signals, SignalState, Tracks

__all__ = ["AgentType", "Links", "RoadMap", "RoadType", "Scene", "SignalState", "Signals", "Tracks"]
