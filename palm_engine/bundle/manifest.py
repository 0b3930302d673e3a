"""The schema of `portfolio.json`, version 2: validated on every read and write.

Version 1 is read too (`upgrade.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from palm_engine.bundle import consistency
from palm_engine.bundle.names import Name
from palm_engine.bundle.schema import (
    BaseInfo,
    Built,
    Candidate,
    Certificate,
    ImportRecord,
    InSampleBound,
    Interpolation,
    Member,
    Part,
    Reading,
    RewardAudit,
    TraitInfo,
    ValueKind,
)
from palm_engine.lm.settings import SamplingSettings, TemplateSettings

FORMAT_VERSION = 2
MOST_CANDIDATES = 20_000


class Manifest(Part):
    """portfolio.json."""

    format_version: Literal[2] = 2
    name: Name
    title: str = ""
    value: ValueKind = "reward"
    base: BaseInfo | None = None
    traits: tuple[TraitInfo, ...] = Field(min_length=2, max_length=8)
    reference: str = ""
    beta: tuple[Annotated[float, Field(gt=0)], ...] = ()
    sampling: SamplingSettings | None = None
    template: TemplateSettings | None = None
    candidates: tuple[Candidate, ...] = Field(min_length=1, max_length=MOST_CANDIDATES)
    outside: tuple[Candidate, ...] = ()
    members: tuple[Member, ...] = ()
    certificate: Certificate | None = None
    # Of the members, where no prompts were kept for a certificate.
    in_sample: InSampleBound | None = None
    reward_audit: RewardAudit | None = None
    interpolation: Interpolation | None = None
    reading: Reading | None = None
    curated_prompts: tuple[str, ...] = ()
    built: Built = Built()
    imported: ImportRecord | None = None
    # What is taken off the rewards where `value` says so: a KL cost, or a cost of the user's own.
    cost_name: str = Field("KL cost", pattern=r"^[A-Za-z0-9 ._-]{1,40}$")
    # Bounds on the weights that count, by trait; a trait that isn't named has none.
    where: dict[str, tuple[float, float]] = Field(default_factory=dict)
    # What was asked of members besides: least rewards by trait, and policies that must be or may
    # not be members.
    floors: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    required: tuple[Name, ...] = ()
    ruled_out: tuple[Name, ...] = ()

    @property
    def with_cost(self) -> bool:
        """Whether values count the KL cost."""
        return self.value == "reward_minus_kl"

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        traits = [t.name for t in self.traits]
        consistency.require_traits(traits, self.where)
        consistency.require_known_traits("floors", self.floors, traits)
        consistency.require_candidates(self.candidates, self.outside, traits)
        known = {c.policy for c in self.candidates}
        outside = {c.policy for c in self.outside}
        consistency.require_members(self.members, traits, known)
        consistency.require_policies("required", self.required, known)
        consistency.require_policies("ruled_out", self.ruled_out, known)
        if self.certificate is not None:
            consistency.require_certificate(self.certificate, traits, known, outside)
            consistency.require_fit(
                self.certificate, self.members, self.candidates, self.with_cost, self.where
            )
            if self.in_sample is not None:
                raise ValueError("in_sample: stands where there is no certificate")
        if self.reward_audit is not None:
            consistency.require_audit(self.reward_audit, traits, known | outside)
        if self.interpolation is not None:
            consistency.require_interpolation(self.interpolation, traits, known)
        if self.reading is not None:
            consistency.require_reading(self.reading, traits, known | outside)
        return self
