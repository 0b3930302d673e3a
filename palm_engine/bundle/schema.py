"""The schema of `portfolio.json`, version 2: validated on every read and write.

Version 1 is read too (`upgrade.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from palm_engine.bundle.names import Name
from palm_engine.geometry.confidence import Bound
from palm_engine.lm.settings import SamplingSettings, TemplateSettings

FORMAT_VERSION = 2
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Rewards = dict[Name, Share]
Weights = dict[Name, Share]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Scope = Literal["certified", "pool", "candidates", "sampled"]
Kind = Literal["base", "prompted", "adapter", "soup", "mixture", "remote"]
ValueKind = Literal["reward", "reward_minus_kl"]


class Part(BaseModel):
    """A part of portfolio.json: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseInfo(Part):
    """The base model: its source, and the sha256 of the tensors that adapters were trained on."""

    source: str
    fingerprint: str | None = None
    note: str = ""


class TraitInfo(Part):
    """A trait: the reward that measures it, how it becomes [0, 1], and the reward's card."""

    name: Name
    direction: Literal["higher", "lower"] = Field(
        "higher", description="which raw scores are better; rewards always count upwards"
    )
    reward: str
    reward_sha256: str | None = Field(
        None, description="changes with anything that changes a score, as far as that is known"
    )
    normalisation: str
    card: dict[str, str | int | float] | None = None


class Planned(Part):
    """What the closed-form plan expected of an adapter, over the pool."""

    rewards: Rewards
    kl: float = Field(ge=0, description="nats")
    beta: float = Field(gt=0)


class Kl(Part):
    """KL to the reference in nats: a diagnostic with its standard error, never part of a gap."""

    mean: Finite
    standard_error: float = Field(ge=0)
    answers: int = Field(ge=1)


class Candidate(Part):
    """An evaluated policy.

    `rewards` are its rewards on the certify prompts (or as given, without prompts).

    `system` is the system prompt it runs under, and an adapter was trained under; "" is the plain
    one.
    """

    policy: Name
    display_name: str = Field("", max_length=80, description="for people; the policy's id if empty")
    kind: Kind
    role: str = ""
    warning: str = Field("", max_length=200, description="what is odd about its answers")
    system: str | None = None
    weights: Weights | None = None
    adapter: str | None = None
    adapter_sha256: str | None = Field(
        None, description="over the adapter's weights and configuration"
    )
    adapter_weights_sha256: str | None = Field(
        None, description="over its weights alone: all that version 1 recorded"
    )
    rewards: Rewards
    evaluated: dict[str, Rewards] = Field(default_factory=dict, description="mean rewards by split")
    kl_cost: float = Field(0.0, ge=0, allow_inf_nan=False)
    soup: dict[Name, Finite] | None = Field(
        None, description="weights of the policies whose adapters it combines"
    )
    mixture: dict[Name, Finite] | None = Field(
        None,
        description="weights of the policies whose next-token logits it adds up, a pass of the"
        " model for each",
    )
    served: str = Field("", description="where a remote policy answered: model at url")
    planned: Planned | None = None
    kl: Kl | None = None

    @property
    def label(self) -> str:
        """The name to show to people, with what it costs more, and marked where answers are odd."""
        passes = f" ({self.passes} passes)" if self.passes > 1 else ""
        return (self.display_name or self.policy) + passes + (" ⚠" if self.warning else "")

    @property
    def can_run(self) -> bool:
        """Whether a model can answer as this policy.

        All but policies that the bundle only has figures of.
        """
        return self.kind in ("base", "prompted", "mixture") or self.adapter is not None

    @property
    def passes(self) -> int:
        """How often the model runs for one token: once, or once per part of a mixture."""
        return len(self.mixture) if self.mixture else 1


class Member(Part):
    """A member and the weights it stands for."""

    policy: Name
    weights: Weights


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
    gap: Bound


class CornerTest(Part):
    """Does a trait's corner adapter beat a rival in that trait?

    Mean paired difference over certify prompts.
    """

    trait: Name
    adapter: Name
    rival: Name
    judge: str
    difference: Bound


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

    scope: Scope
    method: str
    selected_on: str
    certified_on: str
    additive: Bound
    multiplicative: float | None
    at_weights: Weights
    tolerance: float
    choose_gap: Finite
    choose_lower_bound: Finite
    planned_gap: Finite | None = None
    single_best: Name
    single_best_minus_members: Bound
    curve: tuple[CurvePoint, ...]
    corner_tests: tuple[CornerTest, ...] = ()
    diversity: tuple[Diversity, ...] = ()
    outside_test: tuple[OutsideTest, ...] = ()


class OutsideTest(Part):
    """An adapter kept out of the candidates, at its own weights (scope: sampled).

    `gap` is how far it is ahead of the portfolio.
    """

    policy: Name
    weights: Weights
    value: Finite
    portfolio_value: Finite
    gap: Finite


class Attack(Part):
    """One kind of answer that should not be paid, against the members over the whole simplex.

    `tried` of them; `lead` is how far the best is ahead of the members at `at_weights` (below 0:
    behind everywhere), `share` for how many uniform users one of them is ahead, `example` the
    answer of that best one.
    """

    kind: str
    tried: int = Field(ge=1)
    lead: Finite
    at_weights: Weights
    share: Share
    example: str


class RewardAudit(Part):
    """What attacks get from the rewards, on `prompts` prompts of a split.

    `shuffled_share` is the share of the members' gain over the base that answers to other prompts
    still get; None where there is no base to compare with.
    """

    split: str
    prompts: int = Field(ge=2)
    seed: int
    attacks: tuple[Attack, ...]
    shuffled_share: Finite | None
    most_lead: Finite = 0.02
    most_shuffled: Finite = 0.5

    @property
    def ahead(self) -> tuple[Attack, ...]:
        """Attacks that are further ahead of the members than allowed, the furthest first."""
        found = [a for a in self.attacks if a.lead > self.most_lead]
        return tuple(sorted(found, key=lambda a: -a.lead))

    @property
    def passes(self) -> bool:
        """No attack is ahead by more than allowed, and shuffled answers lose enough."""
        blind = self.shuffled_share is not None and self.shuffled_share > self.most_shuffled
        return not self.ahead and not blind


class Interpolated(Part):
    """What interpolation of the corners is worth at some weights, beside the portfolio.

    Values are means over the same prompts. `is_member`: a member stands for these weights; they
    were drawn uniformly otherwise. `member` and `corner` are picked at them.
    """

    weights: Weights
    is_member: bool
    member: Name
    corner: Name
    portfolio_value: Finite
    corner_value: Finite
    soup_value: Finite
    mixture_value: Finite


class Interpolation(Part):
    """Soups and decoding-time mixtures of the corners against the portfolio (scope: sampled).

    Differences are means over the rows that are not members' (uniform users), paired by prompt. A
    mixture runs as many passes per token as there are corners.
    """

    split: str
    prompts: int = Field(ge=2)
    seed: int
    corners: tuple[Name, ...]
    rows: tuple[Interpolated, ...]
    soup_minus_portfolio: Bound
    mixture_minus_portfolio: Bound


class ReadPolicy(Part):
    """What readers found in a policy's answers.

    `fits`: the share that answers its prompt; `on_subject`: at least in part. `grades`: mean grade
    of each trait, 0 to 2.
    """

    policy: Name
    answers: int = Field(ge=1)
    fits: Share
    on_subject: Share
    grades: dict[Name, Annotated[float, Field(ge=0, le=2)]]


class ReadPreference(Part):
    """In how many pairs readers saw more of a trait in its corner adapter's answer."""

    trait: Name
    adapter: Name
    rival: Name
    won: int = Field(ge=0)
    lost: int = Field(ge=0)
    tied: int = Field(ge=0)


class Agreement(Part):
    """Rank correlation (Spearman) of readers' grades and a trait's rewards."""

    trait: Name
    spearman: float = Field(ge=-1, le=1)
    answers: int = Field(ge=2)


class Reading(Part):
    """A blind reading of recorded answers; `reader` says who read."""

    reader: str
    split: str
    prompts: int = Field(ge=1)
    policies: tuple[ReadPolicy, ...]
    preferences: tuple[ReadPreference, ...]
    agreement: tuple[Agreement, ...]

    @property
    def answers(self) -> int:
        """How many single answers were graded."""
        return sum(p.answers for p in self.policies)

    def fit_of(self, policies: Collection[str]) -> tuple[int, float, float]:
        """How many answers of some policies were graded, and which shares fit, wholly and in part.

        Shares are 0 where there are none.
        """
        own = [p for p in self.policies if p.policy in policies]
        count = sum(p.answers for p in own)
        fits = sum(p.fits * p.answers for p in own)
        partly = sum(p.on_subject * p.answers for p in own)
        return count, fits / max(count, 1), partly / max(count, 1)


class ImportRecord(Part):
    """Where a bundle's rewards came from, if not from a build, and what was done to them.

    `normalisation` is a sentence per trait; `missing_cells` are counts per trait, `dropped` of
    policies and prompts.
    """

    source: str
    rows: int = Field(ge=1)
    settings: dict[str, object]
    normalisation: dict[Name, str]
    missing_cells: dict[Name, int] = Field(default_factory=dict)
    dropped: dict[str, int] = Field(default_factory=dict)
    command: str = ""


class Built(Part):
    """How the bundle was made."""

    config: dict[str, object] = Field(default_factory=dict)
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    created: str = ""


class Manifest(Part):
    """portfolio.json."""

    format_version: Literal[2] = 2
    name: Name
    title: str = ""
    value: ValueKind = "reward"
    base: BaseInfo | None = None
    traits: tuple[TraitInfo, ...] = Field(min_length=2, max_length=8)
    reference: str = ""
    beta: tuple[float, ...] = ()
    sampling: SamplingSettings | None = None
    template: TemplateSettings | None = None
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    outside: tuple[Candidate, ...] = ()
    members: tuple[Member, ...] = ()
    certificate: Certificate | None = None
    reward_audit: RewardAudit | None = None
    interpolation: Interpolation | None = None
    reading: Reading | None = None
    curated_prompts: tuple[str, ...] = ()
    built: Built = Built()
    imported: ImportRecord | None = None
    # What is taken off the rewards where `value` says so: a KL cost, or a cost of the user's own.
    cost_name: str = Field("KL cost", pattern=r"^[A-Za-z0-9 ._-]{1,40}$")
    # Bounds on the weights that count, by trait; a trait that isn't named has none.
    where: dict[str, tuple[float, float]] = {}

    @property
    def with_cost(self) -> bool:
        """Whether values count the KL cost."""
        return self.value == "reward_minus_kl"

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        traits = {t.name for t in self.traits}
        if len(traits) < len(self.traits):
            raise ValueError("traits: two share a name")
        everyone = (*self.candidates, *self.outside)
        _require_distinct("candidates", [c.policy for c in everyone])
        with_adapter = {c.policy for c in everyone if c.adapter is not None}
        for i, candidate in enumerate(everyone):
            _check_candidate(f"candidates.{i}", candidate, traits)
            _check_mixture(f"candidates.{i}.mixture", candidate, with_adapter)
        for trait in self.where:
            if trait not in traits:
                raise ValueError(f"where: {trait!r} is not a trait")
        known = {c.policy for c in self.candidates}
        _require_distinct("members", [m.policy for m in self.members])
        for i, member in enumerate(self.members):
            if member.policy not in known:
                raise ValueError(f"members.{i}.policy: {member.policy!r} is not a candidate")
            _require_traits(f"members.{i}.weights", member.weights, traits)
        if self.certificate is not None:
            _check_curve(self.certificate, known)
        return self


def _require_distinct(field: str, names: list[str]) -> None:
    repeated = [n for n in names if names.count(n) > 1]
    if repeated:
        raise ValueError(f"{field}: policy {repeated[0]!r} is listed twice")


def _require_traits(field: str, named: Mapping[str, float], traits: Collection[str]) -> None:
    if set(named) != set(traits):
        raise ValueError(f"{field}: must name exactly the traits {sorted(traits)}")


def _check_candidate(field: str, candidate: Candidate, traits: Collection[str]) -> None:
    for name, named in _vectors_of(candidate):
        _require_traits(f"{field}.{name}", named, traits)
    inside = candidate.adapter
    if inside is not None and (inside.startswith("/") or ".." in inside.split("/")):
        raise ValueError(f"{field}.adapter: must be a path inside the bundle")


def _check_mixture(field: str, candidate: Candidate, with_adapter: Collection[str]) -> None:
    if (candidate.kind == "mixture") != bool(candidate.mixture):
        raise ValueError(f"{field}: a mixture needs parts, and nothing else has some")
    lacking = sorted(set(candidate.mixture or ()) - set(with_adapter))
    if lacking:
        raise ValueError(f"{field}: {lacking[0]!r} is no policy with an adapter")


def _vectors_of(candidate: Candidate) -> Iterator[tuple[str, Mapping[str, float]]]:
    yield "rewards", candidate.rewards
    for split, rewards in candidate.evaluated.items():
        yield f"evaluated.{split}", rewards
    if candidate.weights is not None:
        yield "weights", candidate.weights
    if candidate.planned is not None:
        yield "planned.rewards", candidate.planned.rewards


def _check_curve(certificate: Certificate, known: Collection[str]) -> None:
    if not certificate.curve:
        raise ValueError("certificate.curve: must hold at least one size")
    for i, point in enumerate(certificate.curve):
        if not point.members or not set(point.members) <= set(known):
            raise ValueError(f"certificate.curve.{i}.members: must name candidates")


Certificate.model_rebuild()
