"""The parts of `portfolio.json`, version 2; manifest.py puts them together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from palm_engine._types import Scope
from palm_engine.bundle.names import Name
from palm_engine.geometry.confidence import Bound

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Rewards = dict[Name, Share]
Weights = dict[Name, Share]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Kind = Literal["base", "prompted", "adapter", "soup", "mixture", "remote"]
ValueKind = Literal["reward", "reward_minus_kl"]


class Part(BaseModel):
    """A part of portfolio.json: unknown keys, infinities and what is no number are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BaseInfo(Part):
    """The base model: its source, and the sha256 of the tensors that adapters were trained on."""

    source: str = Field(min_length=1)
    fingerprint: str | None = None
    note: str = ""


class TraitInfo(Part):
    """A trait: the reward that measures it, how it becomes [0, 1], and the reward's card."""

    name: Name
    display_name: str = Field(
        "", max_length=80, description="for people; the trait's name if empty"
    )
    direction: Literal["higher", "lower"] = Field(
        "higher", description="which raw scores are better; rewards always count upwards"
    )
    reward: str
    reward_sha256: str | None = Field(
        None, description="changes with anything that changes a score, as far as that is known"
    )
    normalisation: str
    card: dict[str, str | int | float] | None = None

    @property
    def label(self) -> str:
        """The name to show to people."""
        return self.display_name or self.name

    def longest(self, usual: int) -> int:
        """How long answers may be by a reward of length, in tokens; `usual` where no card says it.

        What it was when the bundle was scored, however long answers came since.
        """
        most = (self.card or {}).get("tokens that score 0")
        return most if isinstance(most, int) else usual


class Planned(Part):
    """What the closed-form plan expected of an adapter, over the pool."""

    rewards: Rewards
    kl: float = Field(ge=0, description="nats")
    beta: float = Field(gt=0)


class Training(Part):
    """How an adapter's training went; losses are means per token of weighted answers, in nats.

    `losses` by epoch on the training pairs; `held_out` before training and after each epoch on
    held-out prompts, empty without such; `epoch` whose adapter was kept; `value` of its own answers
    at its weights in the first and the last tenth of the steps, where it was trained on them.
    """

    losses: tuple[Finite, ...] = Field((), max_length=10_000)
    held_out: tuple[Finite, ...] = Field((), max_length=10_000)
    epoch: int = Field(ge=0)
    steps: int = Field(ge=0)
    value: tuple[Finite, Finite] | None = None


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
    served_plainly: bool = Field(
        False, description="asked without top_k and repetition_penalty, which its server refuses"
    )
    planned: Planned | None = None
    training: Training | None = None
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
    def served_model(self) -> str:
        """The model's name on a server that answers as this policy; "" where none does."""
        return self.served.rpartition(" at ")[0]

    @property
    def served_at(self) -> str:
        """The address of that server; "" where there is none."""
        return self.served.rpartition(" at ")[2] if self.served_model else ""

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
    tolerance: float = Field(ge=0)
    choose_gap: Finite
    choose_lower_bound: Finite
    planned_gap: Finite | None = None
    single_best: Name
    single_best_minus_members: Bound
    curve: tuple[CurvePoint, ...]
    corner_tests: tuple[CornerTest, ...] = ()
    diversity: tuple[Diversity, ...] = ()
    outside_test: tuple[OutsideTest, ...] = ()


class InSampleBound(Part):
    """A bound on the members' worst gap from the prompts that they were chosen on: biased down."""

    upper: Finite
    confidence: Annotated[float, Field(gt=0, lt=1)]
    prompts: int = Field(ge=2)


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
    answer of that best one; `lead_over_candidates` the same against all candidates that answered
    these prompts, None where it wasn't measured. `most`: by trait, the largest mean reward over the
    prompts that one of them gets; bundles of before it have none.
    """

    kind: str
    tried: int = Field(ge=1)
    lead: Finite
    at_weights: Weights
    share: Share
    example: str
    lead_over_candidates: Finite | None = None
    most: Rewards | None = None


class RewardAudit(Part):
    """What attacks get from the rewards, on `prompts` prompts of a split.

    `shuffled_share` is the share of the members' gain over the base that answers to other prompts
    still get; None where there is no base to compare with. `shuffled`: the largest mean reward that
    a member's answers to other prompts get, by trait; `members`: that their own get. `against`: the
    members compared with, where they were others than the bundle's.
    """

    split: str
    prompts: int = Field(ge=2)
    seed: int
    against: tuple[Name, ...] = ()
    attacks: tuple[Attack, ...]
    shuffled_share: Finite | None = None
    shuffled: Rewards | None = None
    members: Rewards | None = None
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
    were drawn uniformly otherwise. `member` and `corner` are picked at them. `equal_value` is of
    the member picked from a portfolio of as many policies as there are corners.
    """

    weights: Weights
    is_member: bool
    member: Name
    corner: Name
    portfolio_value: Finite
    corner_value: Finite
    soup_value: Finite
    mixture_value: Finite
    equal_value: Finite | None = None


class Interpolation(Part):
    """Soups and decoding-time mixtures of the corners against the portfolio (scope: sampled).

    Differences are means over the rows that are not members' (uniform users), paired by prompt. A
    mixture runs as many passes per token as there are corners. At equal cost: `equal_members` are
    the portfolio of as many policies as there are corners; bundles of before it have none.
    """

    split: str
    prompts: int = Field(ge=2)
    seed: int
    corners: tuple[Name, ...]
    rows: tuple[Interpolated, ...]
    soup_minus_portfolio: Bound
    mixture_minus_portfolio: Bound
    equal_members: tuple[Name, ...] = ()
    soup_minus_equal: Bound | None = None
    mixture_minus_equal: Bound | None = None


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


Certificate.model_rebuild()
