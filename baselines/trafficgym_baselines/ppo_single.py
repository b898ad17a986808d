"""PPO of stable-baselines3 on one ego per scene, through nothing but `gymnasium.make`.

It shows that a learner which knows nothing of trafficgym works, and prints how far it gets: return and infractions on
scenes that it was not trained on, before and after.

    python -m trafficgym_baselines.ppo_single --seconds 60
    python -m trafficgym_baselines.ppo_single --scenes val --steps 1000000 --out runs/ppo

Details: heroes of the long tail play their scripts, and the rest of the traffic replays its log; the reward is the
environment's default (-1 for an infraction, which ends the episode, 1 for the goal, 0.01 for a metre of progress);
the ego sees 8 others and 40 points of road, steers by up to 0.3 rad, and does not reverse; observations are in [-1, 1]
already and are not normalised; policy and value are networks of their own, two layers of 128 units each; the learning
rate is constant.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

import trafficgym  # noqa: F401  registers the environments
from trafficgym.envs.observations import ObservationConfig
from trafficgym.errors import ConfigError, TrafficgymError
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import open_scenes
from trafficgym.world.dynamics import Bicycle
from trafficgym_scenarios import LazyScenes, family_scenes, mixture, nominal_scenes
from trafficgym_scenarios.families import TRAINED
from trafficgym_scenarios.sets import LONGTAIL_EVAL

# In a minute a network learns little from the 128 points of road that are the default; and an ego that explores with
# half a radian of steering, or in reverse, is off the road before it has seen much.
OPTIONS: dict[str, Any] = {
    "observation": ObservationConfig(agents=8, road_points=40, signals=2),
    "dynamics": Bicycle(max_steering=0.3, min_speed=0.0),
}
POOL = 200  # generated scenes of each kind; they are made once, so that resets are quick


@dataclass(frozen=True, kw_only=True)
class Args:
    """Train PPO for a given time or number of steps, and say what became of it."""

    scenes: Path | None = None
    """Store, file or folder of scenes, every fifth of which is held out; generated ones by default."""
    seconds: float | None = None
    """Train for so long; 60 where --steps is not given either."""
    steps: int | None = None
    """Train for so many steps of the environment."""
    seed: int = 0
    """Of the network, the scenes that are drawn, and the evaluation."""
    num_envs: int = 8
    """Environments that are stepped in turn, in this process."""
    num_eval: int = 100
    """Episodes on held-out scenes, before and after."""
    out: Path | None = None
    """Folder for model.zip; default none."""


def split(args: Args) -> tuple[Sequence[Scene], Sequence[Scene]]:
    """Scenes to train on, and others to measure on."""
    if args.scenes is None:
        return generated(args.seed)
    scenes = open_scenes(args.scenes)
    numbers = range(len(scenes))
    if len(scenes) < 5:
        print(f"{args.scenes} holds {len(scenes)} scenes: too few to hold any out, so the same ones measure")
        return scenes, scenes
    print(f"{args.scenes} holds {len(scenes)} scenes, every fifth of which is held out")
    return [scenes[i] for i in numbers if i % 5], [scenes[i] for i in numbers if not i % 5]


def generated(seed: int) -> tuple[Sequence[Scene], Sequence[Scene]]:
    """The long tail and nominal traffic by halves; held out are parameters of the one and seeds of the other."""
    long_tail = family_scenes(TRAINED, split="train", size=POOL)
    others = LazyScenes(lambda i: LONGTAIL_EVAL[i].scene, len(LONGTAIL_EVAL))
    first = 2 * POOL * seed
    print(f"generated scenes, half of them long tail, half nominal traffic; {POOL} of each to train on")
    return (
        mixture(long_tail, nominal_scenes(POOL, first), alpha=0.5, seed=seed),
        mixture(others, nominal_scenes(POOL, first + POOL), alpha=0.5, seed=seed),
    )


def make_env(scenes: Sequence[Scene]) -> Callable[[], gymnasium.Env]:
    """What stable-baselines3 wants: a function that makes the environment."""
    return lambda: gymnasium.make("trafficgym/Scene-v0", scenes=scenes, **OPTIONS)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Episodes on held-out scenes."""

    returns: NDArray[np.float64]  # (E,)
    has_infraction: NDArray[np.bool_]  # (E,) a collision, or off the road, at any step

    def __str__(self) -> str:
        mean, error = self.returns.mean(), self.returns.std(ddof=1) / np.sqrt(len(self.returns))
        return (
            f"return {mean:7.2f} +- {error:.2f}   infractions in {100 * self.has_infraction.mean():3.0f} % of episodes"
        )


def evaluate(act: Callable[[NDArray], NDArray], scenes: Sequence[Scene], args: Args) -> Measured:
    """Run whole episodes; the same seeds, and so the same scenes, whatever acts."""
    env = make_env(scenes)()
    returns, infractions = np.zeros(args.num_eval), np.zeros(args.num_eval, bool)
    for episode in range(args.num_eval):
        observation, _ = env.reset(seed=10_000 + args.seed + episode)
        done = False
        while not done:
            observation, reward, terminated, truncated, info = env.step(act(observation))
            returns[episode] += float(reward)
            infractions[episode] |= info["reward_terms"]["infraction"] < 0
            done = terminated or truncated
    env.close()
    return Measured(returns=returns, has_infraction=infractions)


class Budget(BaseCallback):
    """Stops when the time is over, and prints a line now and then."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.began = self.printed = time.perf_counter()

    def _on_step(self) -> bool:
        return time.perf_counter() - self.began < self.seconds

    def _on_rollout_end(self) -> None:
        now = time.perf_counter()
        if now - self.printed > 5 and self.model.ep_info_buffer:
            self.printed = now
            recent = np.mean([episode["r"] for episode in self.model.ep_info_buffer])
            rate = self.num_timesteps / (now - self.began)
            print(
                f"{now - self.began:5.0f} s  {self.num_timesteps:8d} steps  {rate:6.0f} steps/s  return {recent:7.2f}"
            )


def main() -> None:
    args = tyro.cli(Args, prog="ppo_single")
    if args.seconds is not None and args.steps is not None:
        raise ConfigError("give --seconds or --steps, not both")
    seconds = np.inf if args.steps else args.seconds or 60.0
    torch.set_num_threads(1)  # the network is too small to share
    training, held_out = split(args)
    envs = VecMonitor(DummyVecEnv([make_env(training)] * args.num_envs))
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=128,
        batch_size=256,
        n_epochs=5,
        learning_rate=3e-4,
        gamma=0.98,
        gae_lambda=0.95,
        ent_coef=0.0,
        policy_kwargs={"net_arch": [128, 128], "log_std_init": -1.0},
        seed=args.seed,
        device="cpu",
    )

    def act(observation: NDArray) -> NDArray:
        return model.predict(observation, deterministic=True)[0]

    print(f"{args.num_eval} episodes to measure on, before and after:")
    before = evaluate(act, held_out, args)
    print(f"untrained  {before}")
    model.learn(args.steps or 10**9, callback=Budget(seconds))
    after = evaluate(act, held_out, args)
    print(f"untrained  {before}\ntrained    {after}   after {model.num_timesteps} steps")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        model.save(args.out / "model")
        print(f"wrote {args.out / 'model.zip'}")


if __name__ == "__main__":
    try:
        main()
    except TrafficgymError as error:
        raise SystemExit(f"error: {error}") from None
