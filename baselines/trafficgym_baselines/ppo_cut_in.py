"""PPO of stable-baselines3, with its default hyper-parameters, learns to survive cut-ins.

    python -m trafficgym_baselines.ppo_cut_in --minutes 10 --out runs/cut_in

After every 65,536 steps the ego drives 200 scenarios with held-out parameters; curve.csv has what became of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

import trafficgym  # noqa: F401  registers the environments
from trafficgym.rewards import Infraction, Progress
from trafficgym.world.dynamics import Bicycle

# A highway needs little steering; what a metre is worth must not make up for a crash.
OPTIONS: dict[str, Any] = {
    "dynamics": Bicycle(max_steering=0.05, min_speed=0.0),
    "reward": 5.0 * Infraction() + 0.005 * Progress(),
}


@dataclass(frozen=True, kw_only=True)
class Args:
    env: str = "trafficgym/CutIn-v0"
    minutes: float = 10.0
    seed: int = 0
    episodes: int = 200
    out: Path = Path("runs/cut_in")


def infractions(env_id: str, act: Callable[[NDArray], NDArray], episodes: int) -> float:
    """Share of held-out scenarios in which the ego collides or leaves the road."""
    env, failed = gymnasium.make(env_id, split="eval", num_scenes=1000, **OPTIONS), 0
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        done = False
        while not done:
            observation, _, terminated, truncated, info = env.step(act(observation))
            done = terminated or truncated
        failed += info["reward_terms"]["infraction"] < 0
    return failed / episodes


def main() -> None:
    args = tyro.cli(Args)
    torch.set_num_threads(1)
    envs = make_vec_env(args.env, n_envs=8, seed=args.seed, env_kwargs={"num_scenes": 1000, **OPTIONS})
    model = PPO("MlpPolicy", envs, seed=args.seed, device="cpu")
    began, lines = time.perf_counter(), ["minutes,steps,infractions"]
    while not lines[1:] or float(lines[-1].split(",")[0]) < args.minutes:
        share = infractions(args.env, lambda o: model.predict(o, deterministic=True)[0], args.episodes)
        lines.append(f"{(time.perf_counter() - began) / 60:.2f},{model.num_timesteps},{share}")
        print(lines[-1])
        model.learn(65_536, reset_num_timesteps=False)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "curve.csv").write_text("\n".join(lines) + "\n")
    model.save(args.out / "model.zip")
    print(f"constant velocity: {infractions(args.env, lambda _: np.zeros(2), args.episodes):.1%}")


if __name__ == "__main__":
    main()
