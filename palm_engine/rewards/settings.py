"""Rewards as a configuration names them: a registered name, or a kind with its settings.

Only a configuration can name code to run, files to read or servers to ask; a bundle holds a
reward's name and card, never these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Activation = Literal["sigmoid", "softmax", "range"]
AnswerTrait = Literal["safety", "humor", "brevity", "fit"]


class RewardPart(BaseModel):
    """What every kind has: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    gate: str | RewardSettings | None = Field(
        None, description="another reward that multiplies this one: what it scores 0 gains nothing"
    )


class LengthSettings(RewardPart):
    """How short an answer is, in tokens of the base model.

    `log`: halving the length gains the same wherever it starts; `linear`: each token counts the
    same.
    """

    kind: Literal["length"]
    most: int | None = Field(
        None, ge=2, description="tokens that score 0; as many as may be drawn if not given"
    )
    scale: Literal["linear", "log"] = Field("log", description="what one token less gains")

    @property
    def title(self) -> str:
        """The name that bundles record; the usual scale and limit have that of the kind."""
        scale = "" if self.scale == "log" else f" {self.scale}"
        return f"length{scale}" + ("" if self.most is None else f" up to {self.most}")


class ProbeSettings(RewardPart):
    """A linear probe on sentence embeddings, fitted by `palm rewards fit`."""

    kind: Literal["probe"]
    weights: Path = Field(description="the probe's file")

    @property
    def title(self) -> str:
        """The name that bundles record."""
        return f"probe {self.weights.stem}"


class ClassifierSettings(RewardPart):
    """A sequence classifier or reward model in Hugging Face's format, safetensors only."""

    kind: Literal["classifier"]
    model: str = Field(description="a Hugging Face id or a local folder")
    label: str | int = Field(0, description="label or number of the logit that is the reward")
    activation: Activation = Field(
        "sigmoid", description="of the logits; range: between low and high"
    )
    low: float = Field(0.0, allow_inf_nan=False, description="logit that scores 0 (range)")
    high: float = Field(1.0, allow_inf_nan=False, description="logit that scores 1 (range)")
    invert: bool = Field(False, description="1 minus the score: for toxicity and the like")
    template: str | None = Field(
        None,
        description=(
            "text with {prompt} and {answer}, or `chat` for the model's chat template; a pair of"
            " texts if not given"
        ),
    )
    batch_size: int = Field(16, ge=1, description="answers scored at once")
    most_tokens: int = Field(512, ge=8, description="longer texts are cut")
    device: str = Field("auto", description="auto, cpu, cuda or mps")

    @model_validator(mode="after")
    def _consistent(self) -> ClassifierSettings:
        if self.activation == "range" and not self.low < self.high:
            raise ValueError("low must be below high")
        if self.template not in (None, "chat") and "{answer}" not in str(self.template):
            raise ValueError("template: must contain {answer}")
        return self

    @property
    def title(self) -> str:
        """The name that bundles record."""
        return f"classifier {Path(self.model).name} {self.label}"


class ModelSettings(RewardPart):
    """One head of a reward model that `palm rewards train` wrote."""

    kind: Literal["reward_model"]
    folder: Path = Field(description="that the command wrote")
    head: str = Field(description="the label whose probability is the reward")
    invert: bool = Field(False, description="1 minus the score")

    @property
    def title(self) -> str:
        """The name that bundles record."""
        return f"reward model {self.folder.name} {self.head}"


class AnswerSettings(RewardPart):
    """A trait of an answer to its prompt, by a reward model with the five labels of `answers.py`.

    An answer that doesn't fit its prompt gains nothing in any of the traits.
    """

    kind: Literal["answer"]
    trait: AnswerTrait = Field(description="which of the four that the labels make")
    folder: Path = Field(description="of the reward model: heads fit, care, humor, harm, risk")

    @property
    def title(self) -> str:
        """The name that bundles record."""
        return f"answer {self.folder.name} {self.trait}"


class FunctionSettings(RewardPart):
    """A Python function of prompts and answers.

    It gets lists of prompts and of answers (and of their lengths in tokens, where it takes three
    arguments) and returns a score in [0, 1] for each.
    """

    kind: Literal["function"]
    entry: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="`package.module:name`, looked for in the project's folder first",
    )

    @property
    def title(self) -> str:
        """The name that bundles record."""
        return f"function {self.entry}"


class JudgeSettings(RewardPart):
    """A language model that grades answers by a rubric, on an OpenAI-compatible server.

    With `references` it compares each answer with the reference answer to its prompt, in both
    orders; the score is then the share of the two that the answer wins.
    """

    kind: Literal["judge"]
    url: str = Field(pattern=r"^https?://", description="as in http://localhost:8000/v1")
    model: str = Field(description="what the server calls it")
    rubric: str = Field(min_length=10, description="what is judged, in words")
    low: float = Field(1, allow_inf_nan=False, description="worst grade")
    high: float = Field(10, allow_inf_nan=False, description="best grade")
    references: Path | None = Field(
        None, description="a CSV with columns prompt and text to compare answers with"
    )
    key_variable: str = Field(
        "OPENAI_API_KEY", description="environment variable that holds the key"
    )
    retries: int = Field(2, ge=0, le=10, description="further tries where a reply is no grade")
    parallel: int = Field(8, ge=1, le=64, description="requests at once")
    timeout: float = Field(60.0, gt=0, description="seconds per request")
    price_in: float = Field(0.0, ge=0, description="money per million tokens read")
    price_out: float = Field(0.0, ge=0, description="money per million tokens written")

    @model_validator(mode="after")
    def _consistent(self) -> JudgeSettings:
        if not self.low < self.high:
            raise ValueError("low must be below high")
        return self

    @property
    def title(self) -> str:
        """The name that bundles record."""
        return f"judge {self.model}"


RewardSettings = Annotated[
    LengthSettings
    | ProbeSettings
    | ClassifierSettings
    | ModelSettings
    | AnswerSettings
    | FunctionSettings
    | JudgeSettings,
    Field(discriminator="kind"),
]
RewardSpec = str | RewardSettings
for _kind in (
    LengthSettings,
    ProbeSettings,
    ClassifierSettings,
    ModelSettings,
    AnswerSettings,
    FunctionSettings,
    JudgeSettings,
):
    _kind.model_rebuild()


def title_of(spec: RewardSpec) -> str:
    """The name under which bundles record a reward."""
    if isinstance(spec, str):
        return spec
    gate = "" if spec.gate is None else f" x {title_of(spec.gate)}"
    return spec.title + gate
