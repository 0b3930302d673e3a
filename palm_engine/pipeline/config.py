"""The build configuration: one TOML file, validated.

An unknown or missing key is refused by name.
"""

from __future__ import annotations

import tomllib
from math import comb
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from palm_engine._json import read_text, reason
from palm_engine.analysis.plan import RESOLUTION
from palm_engine.bundle.names import Name, trained_name
from palm_engine.bundle.served import KEY_VARIABLE
from palm_engine.bundle.tables import require_unreserved
from palm_engine.bundle.validation import describe_validation_error
from palm_engine.errors import ConfigError, InvalidInputError
from palm_engine.geometry.simplex import weights_of
from palm_engine.lm.settings import SamplingSettings, TemplateSettings, TrainingSettings
from palm_engine.rewards import reward_names
from palm_engine.rewards.settings import RewardSpec, title_of

MOST_GRID_WEIGHTS = 200_000
# Of a configuration's file.
MOST_BYTES = 2_000_000
# Of a system prompt.
MOST_LETTERS = 20_000


class Section(BaseModel):
    """A table of the file: unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )


class Style(Section):
    """A style system prompt: a source of the pool, and a `prompted` candidate of its own."""

    name: Name = Field(description="of the candidate")
    system: str = Field(max_length=MOST_LETTERS, description="the system prompt")


class OwnPolicy(Section):
    """A policy of one's own to evaluate beside the trained ones.

    An adapter, a served model, or what combines adapters: those of other policies of this table,
    and those that are trained for one trait alone (`lora-100-00-00`).
    """

    name: Name = Field(description="of the candidate")
    display_name: str = Field("", max_length=80, description="for people")
    system: str = Field(
        "", max_length=MOST_LETTERS, description="the system prompt that it runs under"
    )
    adapter: str | None = Field(
        None,
        description="a PEFT LoRA adapter for the base: its folder, or a Hugging Face id",
    )
    weights: dict[Name, Annotated[float, Field(ge=0)]] | None = Field(
        None,
        description="what an adapter was trained for, by trait; interpolation starts from adapters"
        " of one trait each",
    )
    soup: dict[Name, float] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="adapters combined exactly into one, by policy: one pass per token",
    )
    mixture: dict[Name, float] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="policies whose next-token logits are added up: a pass per token for each",
    )
    url: str | None = Field(
        None, pattern=r"^https?://", description="OpenAI-compatible server, with `model`"
    )
    model: str | None = Field(None, description="its name on the server")
    extras: bool = Field(True, description="send top_k and repetition_penalty to the server")
    key_variable: str = Field(
        KEY_VARIABLE, description="environment variable that holds the server's key"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> OwnPolicy:
        given = [x for x in (self.adapter, self.url, self.soup, self.mixture) if x is not None]
        if len(given) != 1:
            raise ValueError("give one of adapter, soup, mixture or url (with model)")
        if (self.url is None) != (self.model is None):
            raise ValueError("a served policy needs both url and model")
        if self.weights is not None and self.adapter is None:
            raise ValueError("weights: only of an adapter it can be said what it was trained for")
        if self.parts is not None and not any(self.parts.values()):
            raise ValueError("at least one weight must be other than 0")
        return self

    @property
    def parts(self) -> dict[str, float] | None:
        """Weights of the policies that it combines; None where it is none of these kinds."""
        return self.soup if self.soup is not None else self.mixture


class Soups(Section):
    """Soups of the corner adapters as candidates: they cost no training."""

    count: int = Field(0, ge=0, le=64, description="soups, at weights drawn uniformly")


class Trait(Section):
    """A reward dimension and what measures it."""

    name: Name = Field(description="in weights, columns and exports")
    display_name: str = Field("", max_length=80, description="for people")
    reward: RewardSpec = Field(description="a registered name, or a kind with its settings")
    second: RewardSpec | None = Field(
        None, description="a judge of another kind, asked by the corner tests only"
    )

    @field_validator("reward", "second")
    @classmethod
    def _is_known(cls, reward: RewardSpec | None) -> RewardSpec | None:
        named = reward
        while named is not None and not isinstance(named, str):
            named = named.gate
        if named is not None and named not in reward_names():
            known = ", ".join(reward_names())
            raise ValueError(f"reward {named!r} is not registered; known are {known}")
        return reward

    @property
    def title(self) -> str:
        """The name under which a bundle records the reward."""
        return title_of(self.reward)

    @property
    def second_title(self) -> str:
        """The name under which a bundle records the second judge; empty without one."""
        return "" if self.second is None else title_of(self.second)


class Data(Section):
    """Files, relative to the project's folder (`palm build --project`, else the working folder)."""

    prompts: Path = Field(
        description="a CSV: prompt_id, kind, split (train, choose, certify), text"
    )
    demonstrations: Path | None = Field(
        None, description="a CSV of written answers that join the pool: prompt_id, style, text"
    )


class Sampling(SamplingSettings):
    """How answers are drawn, and by what: the base in processes of the build, or servers.

    With `engine = "openai"` the pool and all evaluation answers come from servers with OpenAI's
    interface (vLLM), to which a build loads the adapters that it trains.
    """

    engine: Literal["local", "openai"] = Field("local", description="what draws")
    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = Field(
        (), max_length=256, description="servers, as in http://localhost:8000/v1"
    )
    model: str = Field("base", min_length=1, description="what the servers call the base")
    concurrency: int = Field(16, ge=1, le=1024, description="requests at once to each server")
    seconds: float = Field(120.0, gt=0, description="longest that a server may take to answer")
    extras: bool = Field(True, description="send top_k and repetition_penalty to the servers")
    key_variable: str = Field(
        KEY_VARIABLE, description="environment variable that holds the servers' key"
    )

    @model_validator(mode="after")
    def _named(self) -> Sampling:
        if (self.engine == "openai") != bool(self.urls):
            raise ValueError('engine = "openai" and urls go together')
        return self

    @property
    def plain(self) -> SamplingSettings:
        """How answers are drawn, whatever draws them."""
        names = SamplingSettings.model_fields
        return SamplingSettings(**{name: getattr(self, name) for name in names})


class Pool(Section):
    """Answers per prompt that each source contributes.

    Sources are the base under each style, and the plain base.
    """

    samples_per_source: int = Field(4, ge=1, le=1000, description="answers per prompt and source")


class Plan(Section):
    """How the closed-form plan chooses what to train."""

    resolution: int | None = Field(
        None,
        ge=4,
        le=100,
        description="steps along an edge of the weight grid; by the number of traits if not given",
    )
    betas: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.05,),
        min_length=1,
        max_length=20,
        description="KL strengths that planned policies may have; corner adapters have the least",
    )
    adapters: int = Field(14, ge=1, description="adapters to train, the corners among them")
    members: tuple[dict[Name, Annotated[float, Field(ge=0)]], ...] = Field(
        (),
        max_length=100,
        description="weights by trait to train at, in place of the members that the plan finds",
    )
    baseline_size: int = Field(
        5, ge=1, description="size of the uniform and random baselines, also trained"
    )
    outside: int = Field(
        3, ge=0, description="adapters at random weights, kept out of the candidates as a test"
    )


class Rounds(Section):
    """How often members are trained.

    After each round but the last, the policies' own answers to the train prompts join the pool.
    """

    count: int = Field(1, ge=1, le=10, description="rounds of training")
    answers: int = Field(4, ge=1, le=1000, description="own answers per policy and train prompt")
    adapters: int | None = Field(
        None,
        ge=1,
        description="adapters that a round before the last trains: the corners, then the plan's"
        " members; all if not given",
    )
    keep_demonstrations: bool = Field(
        True,
        description="false: the last round plans and learns from drawn answers alone, so that the"
        " plan promises what the base can say",
    )
    warm_start: bool = Field(
        False,
        description="true: after the first round each adapter goes on from the one of the round"
        " before whose weights are nearest, instead of from the base",
    )
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="after the first round; training's if not given"
    )
    epochs: int | None = Field(
        None, ge=1, le=1000, description="after the first round; training's if not given"
    )


class Evaluation(Section):
    """Answers of every policy to held-out prompts."""

    answers_per_prompt: int = Field(2, ge=1, le=1000, description="answers per policy and prompt")
    kl_prompts: int = Field(40, ge=2, description="held-out prompts for the KL diagnostic")


class Selection(Section):
    """How many members are chosen, and how their gap is bounded."""

    k: int = Field(5, ge=1, description="members")
    slack: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of the least worst gap that is given up where that lowers the expected"
        " gap of uniform users; 0: none",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of every bound")
    resamples: int = Field(1000, ge=100, le=100_000, description="draws that a bound is read from")
    seconds: float | None = Field(
        None, gt=0, description="most time per size; then the best found with its proved bound"
    )


class Run(Section):
    """How the build runs: on this machine, or with --engine ray on a cluster."""

    workers: int = Field(
        2, ge=1, le=256, description="processes that sample and train, one thread each"
    )
    batch_size: int = Field(96, ge=1, le=4096, description="answers drawn at once in a process")
    cpus_per_task: int = Field(1, ge=1, le=1024, description="with --engine ray: cores per task")
    gpus_per_task: float = Field(
        0.0, ge=0, le=64, description="with --engine ray: GPUs per task; a fraction shares one"
    )


class BuildConfig(Section):
    """Everything that `palm build` needs; see configs/demo.toml for a commented example."""

    name: Name = Field(description="of the bundle")
    title: str = Field(description="what people read")
    seed: int = Field(0, ge=0, lt=2**63, description="of everything that is drawn")
    base: str = Field(min_length=1, description="a Hugging Face id of a causal model, or a folder")
    template: TemplateSettings | None = None
    data: Data
    styles: tuple[Style, ...] = ()
    policies: tuple[OwnPolicy, ...] = ()
    train: bool = Field(True, description="false: evaluate what is given, and train nothing")
    traits: tuple[Trait, ...] = Field(min_length=2, max_length=8)
    sampling: Sampling = Sampling()
    pool: Pool = Pool()
    plan: Plan = Plan()
    training: TrainingSettings = TrainingSettings()
    rounds: Rounds = Rounds()
    soups: Soups = Soups()
    display_names: dict[Name, Annotated[str, Field(max_length=80)]] = Field(
        default_factory=dict, description="names for people, by policy"
    )
    evaluation: Evaluation = Evaluation()
    selection: Selection = Selection()
    run: Run = Run()
    curated_prompts: tuple[str, ...] = Field(
        (),
        description="prompt ids that the dashboard shows first; where members differ most if not"
        " given (pipeline/curated.py)",
    )
    never_curated: tuple[str, ...] = Field(
        (), description="prompt ids that such a choice leaves out, after reading the answers"
    )

    @model_validator(mode="after")
    def _weights_of_its_traits(self) -> BuildConfig:
        given = {f"policies, {p.name}.weights": p.weights for p in self.policies}
        given |= {f"plan.members.{i}": w for i, w in enumerate(self.plan.members)}
        for field, weights in given.items():
            if weights is not None:
                try:
                    weights_of(weights, [t.name for t in self.traits])
                except InvalidInputError as error:
                    raise ValueError(f"{field}: {error}") from None
        return self

    @model_validator(mode="after")
    def _parts_with_adapters(self) -> BuildConfig:
        systems = {p.name: p.system for p in self.policies if p.adapter is not None}
        if self.train:
            trained = self.training.system or ""
            d = len(self.traits)
            corners = [[float(i == j) for j in range(d)] for i in range(d)]
            systems |= {trained_name(corner): trained for corner in corners}
        for p in self.policies:
            strange = [name for name in p.parts or {} if name not in systems]
            if strange:
                raise ValueError(
                    f"policies, {p.name}: {strange[0]!r} is no policy with an adapter; there are"
                    f" {', '.join(systems) or 'none'}"
                )
            if p.parts and not p.system and len({systems[name] for name in p.parts}) > 1:
                raise ValueError(
                    f"policies, {p.name}: its parts run under different system prompts; give it one"
                    " (system)"
                )
            if p.mixture is not None and self.sampling.engine == "openai":
                raise ValueError(
                    f"policies, {p.name}: servers mix no logits; leave the mixture out, or draw"
                    ' here (sampling.engine = "local")'
                )
        return self

    @model_validator(mode="after")
    def _distinct_names(self) -> BuildConfig:
        given = [s.name for s in self.styles] + [p.name for p in self.policies]
        for label, names in (
            ("styles and policies", given),
            ("traits", [t.name for t in self.traits]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"{label}: two entries share a name")
        steps = self.plan.resolution or RESOLUTION[len(self.traits)]
        weights = comb(steps + len(self.traits) - 1, len(self.traits) - 1)
        wanted = self.plan.adapters + self.plan.baseline_size + self.plan.outside
        if not wanted <= weights <= MOST_GRID_WEIGHTS:
            raise ValueError(
                f"plan.resolution: {steps} steps give {weights:,} weights for"
                f" {len(self.traits)} traits; from {wanted} (the adapters asked for) to"
                f" {MOST_GRID_WEIGHTS:,} are needed"
            )
        require_unreserved([t.name for t in self.traits])
        if len(set(self.plan.betas)) < len(self.plan.betas):
            raise ValueError("plan.betas: two are the same")
        made = [name for name in given if name.startswith(("lora-", "soup-"))]
        if made and self.train:
            raise ValueError(
                f"styles: {made[0]!r}: trained policies are called lora-... and soup-..."
            )
        if "base" in given:
            raise ValueError("styles: the name 'base' is kept for the unadapted base model")
        for name in self.display_names:
            # As trained policies are called; which of them there will be is planned later.
            trained = name.startswith(("lora-", "soup-"))
            if not (trained or name == "base" or name in given):
                raise ValueError(f"display_names: there is no policy {name!r}")
        if not self.train and (self.soups.count or self.rounds.count > 1):
            raise ValueError("train: soups and rounds are made of trained adapters")
        if self.rounds.count == 1 and not self.rounds.keep_demonstrations:
            raise ValueError(
                "rounds.keep_demonstrations: with one round nothing would learn from the"
                " demonstrations; ask for two rounds, or leave them out of [data]"
            )
        if self.rounds.warm_start and self.training.method != "rwr":
            raise ValueError(
                f"rounds.warm_start: training.method {self.training.method!r} begins at the base;"
                " only rwr goes on from an adapter"
            )
        return self


def load_config(path: Path) -> BuildConfig:
    """Read and validate a build configuration.

    Raises:
        ConfigError: naming the file and the field.
    """
    try:
        raw = tomllib.loads(read_text(path, MOST_BYTES))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such file; configs/demo.toml is an example to copy"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({reason(error)})") from error
    except (RecursionError, ValueError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise ConfigError(f"{path}: not valid TOML: {why}") from error
    try:
        return BuildConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_validation_error(error)}") from error


def quick(config: BuildConfig) -> BuildConfig:
    """The same build at the smallest scale that touches every stage.

    To try settings, and for tests.
    """
    return config.model_copy(
        update={
            "name": f"{config.name[:58]}-quick",  # names have at most 64 letters
            "sampling": config.sampling.model_copy(update={"max_new_tokens": 12}),
            "pool": config.pool.model_copy(update={"samples_per_source": 1}),
            "plan": config.plan.model_copy(
                update={"adapters": 5, "resolution": 10, "outside": 1, "baseline_size": 2}
            ),
            "training": config.training.model_copy(update={"draws_per_prompt": 1, "epochs": 1}),
            "evaluation": config.evaluation.model_copy(
                update={"answers_per_prompt": 1, "kl_prompts": 2}
            ),
            "selection": config.selection.model_copy(update={"k": 2, "resamples": 100}),
        }
    )
