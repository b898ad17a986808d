"""What counts for a learner: rewards that add and scale, ``-1.0 * Collision() - 0.1 * DisplacementError()``."""

from trafficgym.rewards.ade import DisplacementError, LoggedCollision, ade_and_collision
from trafficgym.rewards.goal import Goal
from trafficgym.rewards.infraction import Collision, Infraction, OffRoad, RedLight, WrongWay
from trafficgym.rewards.progress import Progress
from trafficgym.rewards.realism import RealismReward, rollout_rewards
from trafficgym.rewards.reward import Reward, Term, WeightedSum, has_acted
from trafficgym.rewards.speed import SpeedLimit

__all__ = [
    "Collision",
    "DisplacementError",
    "Goal",
    "Infraction",
    "LoggedCollision",
    "OffRoad",
    "Progress",
    "RealismReward",
    "RedLight",
    "Reward",
    "SpeedLimit",
    "Term",
    "WeightedSum",
    "WrongWay",
    "ade_and_collision",
    "has_acted",
    "rollout_rewards",
]
