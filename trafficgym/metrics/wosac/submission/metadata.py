"""Who submits what: the fields that every shard of a submission repeats (WOSAC.md section 12)."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from google.protobuf.message import DecodeError

from trafficgym.errors import names_nearest
from trafficgym.metrics.wosac import sim_agents_pb2
from trafficgym.metrics.wosac.submission.problems import Problems, SubmissionError

SIM_AGENTS = 1
"""The submission type of the Sim Agents Challenge."""
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_PARAMETERS = re.compile(r"\d+[A-Z]?")
_NEEDED = ("account_name", "unique_method_name", "authors")
_WANTED = ("affiliation", "description", "method_link")
_ASKED_BY_SERVER = (
    "uses_lidar_data",
    "uses_camera_data",
    "uses_public_model_pretraining",
    "num_model_parameters",
    "acknowledge_complies_with_closed_loop_requirement",
)


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The fields of a SimAgentsChallengeSubmission beside its scenarios, by their names there; None is not set."""

    account_name: str | None = None
    """The e-mail address that is registered at waymo.com/open."""
    unique_method_name: str | None = None
    authors: tuple[str, ...] = ()
    affiliation: str | None = None
    description: str | None = None
    method_link: str | None = None
    uses_lidar_data: bool | None = None
    uses_camera_data: bool | None = None
    uses_public_model_pretraining: bool | None = None
    num_model_parameters: str | None = None
    """A whole number and K, M, B or T, such as "7M"."""
    public_model_names: tuple[str, ...] = ()
    acknowledge_complies_with_closed_loop_requirement: bool | None = None
    submission_type: int | None = SIM_AGENTS

    def to_bytes(self) -> bytes:
        """Serialize; follows the scenarios in a shard."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        message = sim_agents_pb2.SimAgentsChallengeSubmission(
            **{name: value for name, value in values.items() if value is not None and value != ()}
        )
        return message.SerializeToString(deterministic=True)

    @classmethod
    def from_bytes(cls, message: bytes) -> Metadata:
        """Read what `to_bytes`, or anybody's protobuf, wrote.

        Raises:
            SubmissionError: it is damaged.
        """
        try:
            found = sim_agents_pb2.SimAgentsChallengeSubmission.FromString(message)
            return cls(**{f.name: _get(found, f.name) for f in fields(cls)})
        except (DecodeError, UnicodeDecodeError) as error:
            raise SubmissionError(f"is no SimAgentsChallengeSubmission message: {error}") from error

    def check(self, problems: Problems, *, shard: str = "", to_upload: bool = True) -> None:
        """Add what is missing or makes no sense.

        Args:
            to_upload: What only the server asks for is an error; else it is a warning.
        """
        if self.submission_type != SIM_AGENTS:
            problems.error(
                "submission_type",
                f"submission_type is {_shown(self.submission_type)}; it must be {SIM_AGENTS} (SIM_AGENTS_SUBMISSION)",
                shard=shard,
            )
        for name in (*_NEEDED, *_WANTED):
            if not getattr(self, name):
                add = problems.error if name in _NEEDED else problems.warning
                add("metadata", f"{name} is not set", shard=shard)
        if self.account_name and not _EMAIL.fullmatch(self.account_name):
            problems.warning(
                "metadata", f"account_name is {self.account_name!r}, which is no e-mail address", shard=shard
            )
        self._check_for_server(problems, shard, to_upload)

    def _check_for_server(self, problems: Problems, shard: str, to_upload: bool) -> None:
        add = problems.error if to_upload else problems.warning
        for name in _ASKED_BY_SERVER:
            if getattr(self, name) in (None, ""):
                add("metadata", f"{name} is not set; the server has asked for it since April 2024", shard=shard)
        if self.acknowledge_complies_with_closed_loop_requirement is False:
            add(
                "metadata",
                "acknowledge_complies_with_closed_loop_requirement is false; the challenge takes closed-loop "
                "simulations only",
                shard=shard,
            )
        if self.num_model_parameters and not _PARAMETERS.fullmatch(self.num_model_parameters):
            problems.warning(
                "metadata",
                f'num_model_parameters is {self.num_model_parameters!r}; the server wants a form like "7M"',
                shard=shard,
            )


def _get(message: sim_agents_pb2.SimAgentsChallengeSubmission, name: str) -> Any:
    if name in ("authors", "public_model_names"):
        return tuple(getattr(message, name))
    return getattr(message, name) if message.HasField(name) else None


def _shown(value: object) -> str:
    return "not set" if value is None else repr(value)
