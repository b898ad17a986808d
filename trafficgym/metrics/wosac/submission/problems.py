"""What can be wrong with a submission, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from trafficgym.errors import TrafficgymError

_MOST_NAMED = 5


class SubmissionError(TrafficgymError, ValueError):
    """A submission cannot be read, or would be refused."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, once for a scenario whatever the number of rollouts that have it."""

    reason: str  # a fixed word, such as "missing_agents"; docs/submission.md lists them
    text: str  # what is wrong and where in the scenario
    scenario_id: str = ""
    shard: str = ""

    def __str__(self) -> str:
        scenario = f"scenario {self.scenario_id}" if self.scenario_id else ""
        return ": ".join(part for part in (self.shard, scenario, self.text) if part)


@dataclass(kw_only=True)
class Problems:
    """Collects what is wrong: errors, for which the server would refuse the submission, and warnings."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, reason: str, text: str, *, scenario_id: str = "", shard: str = "") -> None:
        self.errors.append(Problem(reason=reason, text=text, scenario_id=scenario_id, shard=shard))

    def warning(self, reason: str, text: str, *, scenario_id: str = "", shard: str = "") -> None:
        self.warnings.append(Problem(reason=reason, text=text, scenario_id=scenario_id, shard=shard))

    def __iter__(self) -> Iterator[Problem]:
        yield from self.errors
        yield from self.warnings


def some(names: Iterable[object]) -> str:
    """The first few names, and how many more there are."""
    listed = [str(name) for name in names]
    more = len(listed) - _MOST_NAMED
    return ", ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
