"""PPO of stable-baselines3, with its default hyper-parameters, learns to survive cut-ins.

python -m trafficgym_baselines.ppo_cut_in --minutes 10 --out runs/cut_in    # curve.csv: infractions, held out
"""

import time
from collections.abc import Callable
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
    "num_scenes": 1000,
}


def infractions(env_id: str, act: Callable[[NDArray], NDArray], episodes: int) -> float:
    """Share of held-out scenarios in which the ego collides or leaves the road."""
    env, failed = gymnasium.make(env_id, split="eval", **OPTIONS), 0
    for episode in range(episodes):
        (observation, _), done = env.reset(seed=episode), False
        while not done:
            observation, _, terminated, truncated, info = env.step(act(observation))
            done = terminated or truncated
        failed += info["reward_terms"]["infraction"] < 0
    return failed / episodes


def main(*, env: str = "trafficgym/CutIn-v0", minutes: float = 10.0, seed: int = 0, out: Path = Path("runs")) -> None:
    torch.set_num_threads(1)
    model = PPO("MlpPolicy", make_vec_env(env, n_envs=8, seed=seed, env_kwargs=OPTIONS), seed=seed, device="cpu")
    out.mkdir(parents=True, exist_ok=True)
    curve, began, spent = "minutes,steps,infractions\n", time.perf_counter(), 0.0
    print(f"constant velocity: {infractions(env, lambda _: np.zeros(2), 200):.1%}")
    while spent < minutes:
        model.learn(65_536, reset_num_timesteps=False)
        share = infractions(env, lambda o: model.predict(o, deterministic=True)[0], 200)
        curve += f"{(spent := (time.perf_counter() - began) / 60):.2f},{model.num_timesteps},{share}\n"
        print(f"{spent:5.2f} min  {model.num_timesteps} steps  {share:.1%} infractions", flush=True)
        (out / "curve.csv").write_text(curve)
    model.save(out / "model.zip")


if __name__ == "__main__":
    tyro.cli(main)
