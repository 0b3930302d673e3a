"""How answers are drawn and how adapters are trained: one class each, from configuration to bundle.

No torch here: configurations and bundles are read without it.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class SamplingSettings(BaseModel):
    """How answers are drawn, in the pool, in the evaluation and live.

    `temperature` 0 is greedy; `top_k` bounds the nucleus that `top_p` cuts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_new_tokens: int = Field(64, ge=1, le=32_768, description="tokens per answer at most")
    temperature: float = Field(0.7, ge=0, le=5, description="0 is greedy")
    top_p: float = Field(0.95, gt=0, le=1, description="probability mass of the nucleus")
    top_k: int = Field(100, ge=1, le=1_000_000, description="most tokens in the nucleus")
    repetition_penalty: float = Field(1.1, gt=0, le=10, description="1 is none")


class TemplateSettings(BaseModel):
    """How a conversation is put to the model, where not as its tokenizer's chat template says.

    `text` replaces the template (Jinja, as in tokenizer_config.json); `options` are variables that
    it reads, as `enable_thinking = false` (Qwen3) or `date_string = "26 Jul 2024"` (Llama 3, whose
    template otherwise takes today's date, so that two builds differ by day).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    text: str | None = Field(None, description="a chat template in place of the model's own")
    options: dict[
        Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")], bool | int | float | str
    ] = Field(default_factory=dict, description="variables of the chat template")

    def applied_to(self, template: str | None) -> str | None:
        """The template to use in place of `template` (None: a model without one)."""
        text = self.text if self.text is not None else template
        if text is None:
            return None
        values = {k: json.dumps(v) for k, v in self.options.items()}
        return "".join(f"{{%- set {k} = {v} -%}}" for k, v in values.items()) + text


class DpoSettings(BaseModel):
    """Direct preference optimisation on pairs from the pool."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    beta: float = Field(0.1, gt=0, description="how strongly the adapter is held to the base")
    margin: float = Field(
        0.05, ge=0, le=1, description="value by which a rejected answer is below the chosen one"
    )


class GrpoSettings(BaseModel):
    """Group-relative policy optimisation on the adapter's own answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    steps: int = Field(200, ge=1, le=1_000_000, description="of the optimiser")
    generations: int = Field(8, ge=2, le=1000, description="answers per prompt that are compared")
    beta: float = Field(0.02, ge=0, description="weight of the KL to the base")
    aggregation: Literal["sum_then_normalize", "normalize_then_sum"] = Field(
        "sum_then_normalize",
        description=(
            "normalize_then_sum (GDPO) standardises each trait within its group first: the"
            " objective is then no longer linear in the weights with the declared normalisation"
        ),
    )


class TrainingSettings(BaseModel):
    """How LoRA adapters on all linear layers are trained.

    `rwr`: reward-weighted regression on answers of the pool; `dpo`: preferences between them;
    `grpo`: the adapter's own answers, scored while it trains (the latter two need the extra
    `grpo`).

    `learning_rate` decays to 0 over the run after a tenth of warm-up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: Literal["rwr", "dpo", "grpo"] = Field("rwr", description="how adapters learn")
    dpo: DpoSettings = DpoSettings()
    grpo: GrpoSettings = GrpoSettings()
    rank: int = Field(4, ge=1, le=64, description="rank of the adapters")
    alpha: float = Field(16, gt=0, le=10_000, description="scale of the adapters, times rank")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="after warm-up")
    batch_size: int = Field(16, ge=1, le=4096, description="answers per optimiser step")
    epochs: int = Field(
        2, ge=1, le=1000, description="passes over the pairs (rwr, dpo; grpo counts steps)"
    )
    draws_per_prompt: int = Field(
        6,
        ge=1,
        le=10_000,
        description="answers drawn per train prompt by the Gibbs weights (rwr, dpo)",
    )
    held_out: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="share of train prompts kept back to stop early; 0: none (rwr only)",
    )
    system: str | None = Field(
        None, description="system prompt that adapters are trained and run under"
    )
