"""How realistic rollouts of a scene are, by the metric of the Waymo Open Sim Agents Challenge."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.metrics.wosac.config import FeatureConfig, WosacConfig, find_config
from trafficgym.metrics.wosac.features import FeatureExtractor, Features
from trafficgym.metrics.wosac.gaps import fill_gaps
from trafficgym.metrics.wosac.histograms import Histograms
from trafficgym.metrics.wosac.kinematics import central_validity
from trafficgym.metrics.wosac.log import Log, in_source
from trafficgym.metrics.wosac.score import SceneScore, buckets, metametric
from trafficgym.scene.scene import AgentType, Scene

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Counts = dict[str, NDArray[np.int64]]
Frame = Literal["scene", "source"]

RATES = {
    "collision": "collision_indication",
    "offroad": "offroad_indication",
    "traffic_light_violation": "traffic_light_violation",
}
"""Flags of which the share of objects is reported, by the names of the official rates."""


class Realism:
    """Scores rollouts of one scene; everything that depends on the scene alone is prepared once.

    Rollouts are arrays ``[R, A, T, 4]``: R rollouts, A objects, T steps of 0.1 s after the current one (80), and
    (x, y, z, yaw) of box centres in m and rad. The A rows are all tracks of the scene in its order, of which those that
    are not there at the current step are ignored; or the objects whose ids are given. Every object that is there at the
    current step must have its row, at every step.

    Args:
        scene: A scene with its future (WOMD: 91 steps).
        config: Name of a configuration (`CONFIGS`), or one of your own.

    Raises:
        ConfigError: no configuration of that name.
        SceneError: the scene is too short, or has nothing to evaluate.
    """

    def __init__(self, scene: Scene, config: str | WosacConfig = "2025") -> None:
        self.scene, self.config = scene, find_config(config)
        self._log = Log.of(scene, self.config)
        self._extractor = FeatureExtractor(self._log, self.config)
        self.log_features = self._extractor.of_log()
        """Features of the log, R = 1."""
        self._histograms = self._prepare()
        self._replayed: tuple[Counts, Features] | None = None
        self.missing = tuple(name for name in self.config.features if name not in self._histograms)
        """Features that cannot be scored in this scene."""
        if self.missing:
            warnings.warn(
                f"scene {scene.id!r} allows no {', no '.join(self.missing)} (no road edge in its map, or nothing in "
                "the log that counts); the meta-metric is taken over the other features, by their weights",
                stacklevel=2,
            )

    @property
    def tracks(self) -> NDArray[np.int32]:
        """Indices of the simulated tracks, int32 ``[N]``, ascending."""
        return np.sort(self._log.track)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Their ids, int64 ``[N]``."""
        return self.scene.tracks.id[self.tracks]

    @property
    def evaluated_tracks(self) -> NDArray[np.int32]:
        """Indices of the evaluated tracks, int32 ``[E]``, by ascending id."""
        return self._log.track[: self._log.num_evaluated]

    @property
    def evaluated(self) -> NDArray[np.int64]:
        """Their ids, int64 ``[E]``."""
        return self._log.ids[: self._log.num_evaluated]

    def features(
        self, rollouts: NDArray[np.floating], ids: Sequence[int] | NDArray | None = None, *, frame: Frame = "scene"
    ) -> Features:
        """Features of the evaluated objects in rollouts; arguments as for `score`."""
        return self._extractor.of_rollouts(self._in_order(rollouts, ids, frame))

    def score(
        self, rollouts: NDArray[np.floating], ids: Sequence[int] | NDArray | None = None, *, frame: Frame = "scene"
    ) -> SceneScore:
        """Score R rollouts together.

        Args:
            rollouts: ``[R, A, T, 4]``, see the class.
            ids: Of the A rows; None for all tracks in the scene's order.
            frame: Coordinates of the rollouts: those of the scene, or those of its source (scene plus `Scene.origin`).

        Raises:
            ConfigError: a wrong shape, an object missing or given twice, or a number that is not finite.
        """
        features = self.features(rollouts, ids, frame=frame)
        return self._score(_sum(self._count(features)), features, len(rollouts), self.oracle(len(rollouts)))

    def leave_one_out(
        self,
        rollouts: NDArray[np.floating] | Features,
        ids: Sequence[int] | NDArray | None = None,
        *,
        frame: Frame = "scene",
    ) -> LeaveOneOut:
        """Score R rollouts, or what `features` found in them, and each set of R - 1 of them; see `score`."""
        features = self._features_of(rollouts, ids, frame)
        num = len(features.displacement_error)
        if num < 2:
            raise ConfigError(
                f"scene {self.scene.id!r}: leaving one of {num} rollouts out leaves none; give at least 2"
            )
        counts = self._count(features)
        whole = _sum(counts)
        without = {name: whole[name] - counts[name] for name in counts}
        likelihoods, agents = self._likelihoods(without)
        return LeaveOneOut(
            score=self._score(whole, features, num, self.oracle(num)),
            metametric=metametric(self.config, likelihoods),
            likelihoods=likelihoods,
            agents=agents,
        )

    def single(
        self,
        rollouts: NDArray[np.floating] | Features,
        ids: Sequence[int] | NDArray | None = None,
        *,
        frame: Frame = "scene",
    ) -> tuple[Float64, Float64]:
        """Meta-metric of each rollout alone, ``[R]``, and of each evaluated object in it, ``[R, E]``.

        Arguments as for `leave_one_out`.
        """
        likelihoods, agents = self._likelihoods(self._count(self._features_of(rollouts, ids, frame)))
        return metametric(self.config, likelihoods), agents

    def oracle(self, num_rollouts: int = 32) -> SceneScore:
        """The score of the log, replayed as each of the rollouts.

        An object that the log loses goes on at constant velocity.
        """
        if self._replayed is None:
            features = self._extractor.of_rollouts(self._replay()[None])
            self._replayed = _sum(self._count(features)), features
        counts, features = self._replayed
        return self._score({name: num_rollouts * one for name, one in counts.items()}, features, num_rollouts, None)

    # How it is done.

    def _features_of(
        self, rollouts: NDArray[np.floating] | Features, ids: Sequence[int] | NDArray | None, frame: Frame
    ) -> Features:
        return rollouts if isinstance(rollouts, Features) else self.features(rollouts, ids, frame=frame)

    def _prepare(self) -> dict[str, Histograms]:
        """The log's side of each feature that can be scored."""
        num = self._log.num_evaluated
        valid = self._log.valid[:num, self.config.first_step :]
        speed_valid = central_validity(valid)
        vehicle = (self._log.types[:num] == AgentType.VEHICLE)[:, None]
        masks = dict.fromkeys(("linear_speed", "angular_speed"), speed_valid)
        masks |= dict.fromkeys(("linear_acceleration", "angular_acceleration"), central_validity(speed_valid))
        if self.config.ttc_of_vehicles_only:
            masks["time_to_collision"] = valid & vehicle
        self._seen = {"traffic_light_violation": valid & vehicle}
        self._valid = valid
        found = {}
        for name, config in self.config.features.items():
            logged = self._samples(name, config, self.log_features)
            if logged is None:
                continue
            # Flags are asked of all objects, whether they could be raised or not.
            mask = np.ones((num, 1), bool) if config.is_bernoulli else masks.get(name, valid)
            if mask.any():
                found[name] = Histograms.of(config, logged[0], mask)
        return found

    def _samples(self, name: str, config: FeatureConfig, features: Features) -> NDArray | None:
        """What is counted of a feature, ``[R, E, T]``, or ``[R, E, 1]`` for flags; None where it is missing."""
        values: NDArray | None = getattr(features, name)
        if values is None or not config.is_bernoulli:
            return values
        raised: Bool = (values & self._seen.get(name, self._valid)).any(-1, keepdims=True)
        return raised

    def _count(self, features: Features) -> Counts:
        found = {}
        for name, one in self._histograms.items():
            samples = self._samples(name, one.config, features)
            assert samples is not None  # or there would be no histogram
            found[name] = one.count(samples)
        return found

    def _likelihoods(self, counts: Counts) -> tuple[dict[str, Float64], Float64]:
        """Likelihood by feature ``[R]``, and the meta-metric of each evaluated object ``[R, E]``, from counts by R."""
        likelihoods, of_agents = {}, {}
        for name, one in self._histograms.items():
            log_likelihood = one.log_likelihood(counts[name])
            likelihoods[name] = one.likelihood(log_likelihood)
            of_agents[name] = one.likelihood_of_agents(log_likelihood)
        return likelihoods, _metametric_of_agents(self.config, of_agents)

    def _score(self, counts: Counts, features: Features, num_rollouts: int, oracle: SceneScore | None) -> SceneScore:
        likelihoods = {
            name: float(one.likelihood(one.log_likelihood(counts[name]))) for name, one in self._histograms.items()
        }
        raised = {rate: getattr(features, name) for rate, name in RATES.items()}
        return SceneScore(
            config=self.config.name,
            num_scenes=1,
            num_rollouts=num_rollouts,
            metametric=float(metametric(self.config, likelihoods)),
            likelihoods=likelihoods,
            buckets=buckets(self.config, likelihoods),
            rates={
                rate: float((flags & self._valid).any(-1).mean()) for rate, flags in raised.items() if flags is not None
            },
            ade=float(features.displacement_error.mean()),
            min_ade=float(features.displacement_error.mean(-1).min()),
            missing=self.missing,
            oracle=oracle,
            scene_id=self.scene.id,
            ids=self.evaluated,
            histograms=self._histograms,
            counts=counts,
        )

    def _in_order(self, rollouts: NDArray[np.floating], ids: Sequence[int] | NDArray | None, frame: Frame) -> Float:
        """Rollouts in the source's coordinates, float32 ``[R, N, T, 4]``, objects in the order of the log."""
        rollouts = np.asarray(rollouts)
        row = self._rows(ids)
        num_rows = self.scene.num_agents if ids is None else len(ids)
        shape = (num_rows, self.config.num_steps, 4)
        if rollouts.ndim != 4 or rollouts.shape[1:] != shape or not len(rollouts):
            raise ConfigError(
                f"scene {self.scene.id!r}: rollouts must be (rollouts, objects, steps, 4) = "
                f"(R, {', '.join(map(str, shape))}), got {rollouts.shape}"
            )
        if rollouts.dtype.kind not in "fiu":
            raise ConfigError(f"scene {self.scene.id!r}: rollouts must be real numbers, got {rollouts.dtype}")
        if frame not in ("scene", "source"):
            raise ConfigError(f"frame is {frame!r}; it is 'scene' or 'source'")
        chosen = rollouts.take(row, axis=1)
        with np.errstate(over="ignore"):  # what is too large for float32 is not finite
            origin = np.array([*self.scene.origin, 0.0])
            found = chosen.astype(np.float32) if frame == "source" else in_source(chosen, origin)
        if not np.isfinite(found).all():
            r, n, t, _ = np.argwhere(~np.isfinite(found))[0]
            raise ConfigError(
                f"scene {self.scene.id!r}: rollout {r}, object {self._log.ids[n]}, step {t} is not finite: "
                f"{chosen[r, n, t]}; an object that left can go on by `fill_gaps`"
            )
        return found

    def _rows(self, ids: Sequence[int] | NDArray | None) -> NDArray[np.integer]:
        """The row of each object of the log."""
        if ids is None:
            return self._log.track
        row_of = {int(id): row for row, id in enumerate(ids)}
        if len(row_of) < len(ids):
            twice = next(id for id in row_of if list(ids).count(id) > 1)
            raise ConfigError(f"scene {self.scene.id!r}: object {twice} is given twice")
        missing = [int(id) for id in self._log.ids if int(id) not in row_of]
        if missing:
            raise ConfigError(
                f"scene {self.scene.id!r}: no row for object {missing[0]}"
                f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}; every object that is there at the "
                "current step must be simulated"
            )
        return np.array([row_of[int(id)] for id in self._log.ids])

    def _replay(self) -> Float:
        """The log from the current step on, gaps filled, float32 ``[N, T, 4]`` in the source's coordinates."""
        log, tracks, config = self._log, self.scene.tracks, self.config
        begin = max(config.first_step - 1, 0)
        steps = slice(begin, config.end_step)
        velocity = [getattr(tracks, name)[log.track, steps] for name in ("vx", "vy")]
        motion = np.stack([a[:, steps] for a in (log.x, log.y, log.z, log.yaw)] + velocity, -1)
        present = log.valid[:, steps].copy()
        if config.first_step == 0:  # nothing to go on from before an object appears
            first = present.argmax(1)
            motion[:] = np.where((np.arange(motion.shape[1]) < first[:, None])[..., None], _at(motion, first), motion)
            present |= np.arange(motion.shape[1]) < first[:, None]
        return fill_gaps(motion, present)[:, config.first_step - begin :].astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class LeaveOneOut:
    """What R rollouts score without each of them, by subtracting its samples (METHODS.md D.1)."""

    score: SceneScore
    """Of all R."""
    metametric: Float64
    """(R,) entry i without rollout i."""
    likelihoods: Mapping[str, Float64]
    """(R,) by feature."""
    agents: Float64
    """(R, E) meta-metric of each evaluated object's own likelihoods, without rollout i."""

    @property
    def marginal(self) -> Float64:
        """What each rollout adds, ``[R]``: mean of `metametric` minus its own (RLFTSim, equation 2); sums to 0."""
        return self.metametric.mean() - self.metametric

    @property
    def marginal_of_agents(self) -> Float64:
        """The same for each evaluated object's own likelihoods, ``[R, E]``."""
        return self.agents.mean(0) - self.agents


def _sum(counts: Counts) -> Counts:
    return {name: one.sum(0) for name, one in counts.items()}


def _at(motion: NDArray, step: NDArray[np.integer]) -> NDArray:
    """States at one step of each object, ``[N, 1, 6]``."""
    return np.take_along_axis(motion, step[:, None, None], 1)


def _metametric_of_agents(config: WosacConfig, likelihoods: Mapping[str, Float64]) -> Float64:
    """Meta-metric of each object, ``[..., E]``: over those features of it that count at some step."""
    weights = np.array([config.features[name].weight for name in likelihoods])
    values = np.stack(list(likelihoods.values()), -1)
    counts = np.isfinite(values)
    weighted = np.where(counts, values, 0.0) @ weights
    total = sum(feature.weight for feature in config.features.values())
    with np.errstate(invalid="ignore"):
        found: Float64 = weighted * (total / (counts @ weights))
    return np.nan_to_num(found)
