"""The schema of `portfolio.json`, version 1.

What engine and pages share, validated on every read and write.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT_VERSION = 1
# Not "." or "..": names become folders.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$")]
Values = dict[Name, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseInfo(Part):
    """The base model: its source, and the sha256 of the tensors that adapters were trained on."""

    source: str
    fingerprint: str | None = None
    note: str = ""


class TraitInfo(Part):
    name: Name
    reward: str
    normalisation: str
    card: dict[str, str | int | float] | None = None


class Planned(Part):
    """What the closed-form plan expected of an adapter, over the pool."""

    values: Values
    kl: float = Field(ge=0, description="nats")
    beta: float = Field(gt=0)


class Kl(Part):
    """KL to the reference in nats: a diagnostic with its standard error, never part of a gap."""

    mean: Finite
    standard_error: float = Field(ge=0)
    answers: int = Field(ge=1)


class Candidate(Part):
    """An evaluated policy.

    `values` are its rewards on the certify prompts (or as given, without prompts).

    `system` is the system prompt it runs under, and an adapter was trained under; "" is the plain
    one.
    """

    policy: Name
    kind: Literal["base", "prompted", "adapter"]
    role: str = ""
    system: str | None = None
    weights: Values | None = None
    adapter: str | None = None
    adapter_sha256: str | None = None
    values: Values
    evaluated: dict[str, Values] = Field(default_factory=dict, description="mean rewards by split")
    cost: float = Field(0.0, ge=0, allow_inf_nan=False)
    planned: Planned | None = None
    kl: Kl | None = None

    @property
    def can_run(self) -> bool:
        """Whether a model can answer as this policy.

        All but adapters that the bundle only has figures of.
        """
        return self.kind != "adapter" or self.adapter is not None


class Member(Part):
    policy: Name
    weights: Values


class BoundInfo(Part):
    estimate: Finite
    lower: Finite
    upper: Finite
    confidence: float = Field(gt=0, lt=1)
    prompts: int
    resamples: int


class CurvePoint(Part):
    """The best portfolio of one size, chosen on the choose prompts.

    `gap` is on the certify prompts.

    Its `upper` holds for all sizes at once (max-t), since a user picks a size by looking at these
    figures.
    """

    k: int = Field(ge=1)
    members: tuple[Name, ...]
    choose_gap: Finite
    choose_lower_bound: Finite
    gap: BoundInfo


class CornerTest(Part):
    """Does a trait's corner adapter beat a rival in that trait?

    Mean paired difference over certify prompts.
    """

    trait: Name
    adapter: Name
    rival: Name
    judge: str
    difference: BoundInfo


class Diversity(Part):
    """Members' answers to the same prompt.

    Mean pairwise embedding distance (1 - cosine) and Vendi score (1 to k).
    """

    portfolio: str
    members: tuple[Name, ...]
    distance: float = Field(ge=0)
    vendi: float | None = Field(None, ge=0)
    worst_gap: Finite


class Certificate(Part):
    """The bound on the worst gap, its scope, and what it rests on."""

    scope: Literal["certified", "pool", "candidates", "sampled"]
    method: str
    selected_on: str
    certified_on: str
    additive: BoundInfo
    multiplicative: float | None
    at_weights: Values
    tolerance: float
    choose_gap: Finite
    choose_lower_bound: Finite
    planned_gap: Finite | None = None
    single_best: Name
    single_best_minus_members: BoundInfo
    curve: tuple[CurvePoint, ...]
    corner_tests: tuple[CornerTest, ...] = ()
    diversity: tuple[Diversity, ...] = ()
    outside_test: tuple[OutsideTest, ...] = ()


class OutsideTest(Part):
    """Scope `sampled`: how far an adapter kept out of the candidates is ahead of the portfolio, at
    its weights.
    """

    policy: Name
    weights: Values
    value: Finite
    portfolio_value: Finite
    gap: Finite


class Built(Part):
    config: dict[str, object] = Field(default_factory=dict)
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    created: str = ""


class Manifest(Part):
    """portfolio.json."""

    format_version: Literal[1] = 1
    name: Name
    title: str = ""
    value: Literal["reward", "reward_minus_kl"] = "reward"
    base: BaseInfo | None = None
    traits: tuple[TraitInfo, ...] = Field(min_length=2, max_length=8)
    reference: str = ""
    beta: tuple[float, ...] = ()
    sampling: dict[str, float] = Field(default_factory=dict)
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    outside: tuple[Candidate, ...] = ()
    members: tuple[Member, ...] = ()
    certificate: Certificate | None = None
    curated_prompts: tuple[str, ...] = ()
    built: Built = Built()

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        traits = {t.name for t in self.traits}
        if len(traits) < len(self.traits):
            raise ValueError("traits: two share a name")
        names = [c.policy for c in (*self.candidates, *self.outside)]
        if len(set(names)) < len(names):
            repeated = next(n for n in names if names.count(n) > 1)
            raise ValueError(f"candidates: policy {repeated!r} is listed twice")
        for i, c in enumerate((*self.candidates, *self.outside)):
            for field, values in (("values", c.values), ("weights", c.weights)):
                if values is not None and set(values) != traits:
                    raise ValueError(
                        f"candidates.{i}.{field}: must name exactly the traits {sorted(traits)}"
                    )
            if c.adapter is not None and (
                c.adapter.startswith("/") or ".." in c.adapter.split("/")
            ):
                raise ValueError(f"candidates.{i}.adapter: must be a path inside the bundle")
        known = {c.policy for c in self.candidates}
        kept = [m.policy for m in self.members]
        if len(set(kept)) < len(kept):
            raise ValueError("members: a policy is listed twice")
        for i, point in enumerate(self.certificate.curve if self.certificate else ()):
            if not point.members or not set(point.members) <= known:
                raise ValueError(f"certificate.curve.{i}.members: must name candidates")
        if self.certificate and not self.certificate.curve:
            raise ValueError("certificate.curve: must hold at least one size")
        for i, m in enumerate(self.members):
            if m.policy not in known:
                raise ValueError(f"members.{i}.policy: {m.policy!r} is not a candidate")
            if set(m.weights) != traits:
                raise ValueError(
                    f"members.{i}.weights: must name exactly the traits {sorted(traits)}"
                )
        return self


Certificate.model_rebuild()
