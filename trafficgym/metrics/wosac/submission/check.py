"""Whether a submission is what the server takes; every problem with the scenario's id and the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trafficgym.metrics.wosac.submission.messages import ScenarioRollouts
from trafficgym.metrics.wosac.submission.metadata import Metadata
from trafficgym.metrics.wosac.submission.problems import Problem, Problems, SubmissionError, some
from trafficgym.metrics.wosac.submission.scenario_check import scenario_problems
from trafficgym.metrics.wosac.submission.shards import NUM_SHARDS, SHARD_NAME, Kind, Shard, kind_of, read_shards
from trafficgym.metrics.wosac.submission.simulated import SimulatedObjects
from trafficgym.scene.scene import Scene


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `validate` found."""

    path: str
    kind: Kind
    num_shards: int
    num_scenarios: int
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    metadata: Metadata | None
    """Of the first shard that could be read."""
    is_against_scenes: bool
    """Whether object ids and the set of scenarios were compared with scenes."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings do not count."""
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return {"ok": self.ok} | asdict(self)


def validate(
    path: Path | str,
    scenes: Sequence[Scene] | None = None,
    *,
    on_scenario: Callable[[int], None] = lambda num: None,
) -> Report:
    """Check a submission: a ``.tar.gz``, a folder of shards, or one shard; it is read once, a scenario at a time.

    What only the server asks for (five of the metadata fields) is an error in an archive, which is what is
    uploaded, and a warning in a folder or a single shard.

    Args:
        path: The submission.
        scenes: All scenes of the split, to compare object ids and the set of scenarios with; None checks the rest.
        on_scenario: Called with the number of scenarios read.

    Raises:
        SubmissionError: there is nothing at `path`.
        SceneError: a scene is none of this challenge.
    """
    return _Validation(Path(path), scenes, on_scenario).run()


class _Validation:
    """What is gathered while the shards go by."""

    def __init__(self, path: Path, scenes: Sequence[Scene] | None, on_scenario: Callable[[int], None]) -> None:
        self.path, self.kind = path, kind_of(path)
        self.objects = None if scenes is None else SimulatedObjects(scenes)
        self.on_scenario = on_scenario
        self.problems = Problems()
        self.shard_of: dict[str, str] = {}  # scenario id -> shard in which it came first
        self.num_scenarios = 0
        self.shards: list[str] = []
        self.metadata: Metadata | None = None

    def run(self) -> Report:
        for shard in read_shards(self.path, self.problems):
            self._check_shard(shard)
        self._check_shard_names()
        if not self.num_scenarios:
            self.problems.error("empty", "holds no scenario")
        elif self.objects is not None:
            for id in sorted(self.objects.scenario_ids - self.shard_of.keys()):
                self.problems.error("missing_scenario", "is missing; every scenario must be there", scenario_id=id)
        return Report(
            path=str(self.path),
            kind=self.kind,
            num_shards=len(self.shards),
            num_scenarios=self.num_scenarios,
            errors=tuple(self.problems.errors),
            warnings=tuple(self.problems.warnings),
            metadata=self.metadata,
            is_against_scenes=self.objects is not None,
        )

    def _check_shard(self, shard: Shard) -> None:
        self.shards.append(shard.name)
        try:
            for scenario in shard.scenarios():
                self.num_scenarios += 1
                self.on_scenario(self.num_scenarios)
                if isinstance(scenario, SubmissionError):
                    self.problems.error("damaged", f"scenario number {self.num_scenarios} {scenario}", shard=shard.name)
                else:
                    self._check_scenario(scenario, shard.name)
            self._check_metadata(shard)
        except SubmissionError as error:
            self.problems.error("damaged", str(error), shard=shard.name)

    def _check_scenario(self, scenario: ScenarioRollouts, shard: str) -> None:
        id, expected = scenario.scenario_id, None
        if not id:
            self.problems.error("scenario_id", f"scenario number {self.num_scenarios} has no scenario_id", shard=shard)
        elif id in self.shard_of:
            self.problems.error(
                "repeated_scenario", f"is there twice, first in {self.shard_of[id]}", scenario_id=id, shard=shard
            )
        else:
            self.shard_of[id] = shard
        if id and self.objects is not None:
            if id in self.objects.scenario_ids:
                expected = self.objects.of(id)
            else:
                self.problems.error("unknown_scenario", "is none of the scenes", scenario_id=id, shard=shard)
        for reason, text in scenario_problems(scenario, expected):
            self.problems.error(reason, text, scenario_id=id, shard=shard)

    def _check_metadata(self, shard: Shard) -> None:
        metadata = shard.metadata()
        if self.metadata is None:
            self.metadata = metadata
            metadata.check(self.problems, shard=shard.name, to_upload=self.kind == "archive")
        elif metadata != self.metadata:
            different = [name for name, value in asdict(metadata).items() if value != getattr(self.metadata, name)]
            self.problems.error(
                "metadata", f"{some(different)} differ(s) from the first shard's, {self.shards[0]}", shard=shard.name
            )

    def _check_shard_names(self) -> None:
        for name, count in Counter(self.shards).items():
            if count > 1:
                self.problems.error("shard_name", f"is there {count} times", shard=name)
        found = [match for match in map(SHARD_NAME.fullmatch, self.shards) if match and match[1]]
        counts = {int(match[3]) for match in found}
        if found and (len(counts) > 1 or {int(match[2]) for match in found} != set(range(max(counts)))):
            self.problems.warning("shard_name", f"the shards do not count from 00000 up to {max(counts):05d}")
        if self.kind == "archive" and len(self.shards) != NUM_SHARDS:
            self.problems.warning(
                "num_shards", f"has {len(self.shards)} shards; the challenge's page asks for {NUM_SHARDS}"
            )
