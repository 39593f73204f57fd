"""What an examination is told, and where its record stands."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from autograder.sandbox.limits import Limits

RECORD = "course"  # key in the metadata of a graded notebook and of its graded cells


@dataclass(frozen=True)
class Settings:
    """How long and how large. `call_limits` override those of checks.engine.candidate by name; `grace` is how
    much later a call is ended from outside that does not end by itself. `seed` is the class's, from which everything
    random follows; empty: every examination is random anew."""

    cell_seconds: float = 60.0
    total_seconds: float = 600.0
    grace: float = 5.0
    limits: Limits = field(default_factory=Limits)
    call_limits: dict[str, float] = field(default_factory=dict)
    seed: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Settings:
        return cls(**{**content, "limits": Limits(**content["limits"])})
