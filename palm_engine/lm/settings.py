"""How answers are drawn and how adapters are trained: one class each, from configuration to bundle.

No torch here: configurations and bundles are read without it.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SamplingSettings(BaseModel):
    """How answers are drawn, in the pool, in the evaluation and live.

    `temperature` 0 is greedy; `top_k` bounds the nucleus that `top_p` cuts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_new_tokens: int = Field(64, ge=1, le=32_768, description="tokens per answer at most")
    temperature: float = Field(0.7, ge=0, le=5, description="0 is greedy")
    top_p: float = Field(0.95, gt=0, le=1, description="probability mass of the nucleus")
    top_k: int = Field(100, ge=1, description="most tokens in the nucleus")
    repetition_penalty: float = Field(1.1, gt=0, le=10, description="1 is none")


class TrainingSettings(BaseModel):
    """Reward-weighted regression of LoRA adapters on all linear layers.

    `learning_rate` decays to 0 over the run after a tenth of warm-up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(4, ge=1, le=64, description="rank of the adapters")
    alpha: float = Field(16, gt=0, description="scale of the adapters, times rank")
    learning_rate: float = Field(1e-3, gt=0, description="after warm-up")
    batch_size: int = Field(16, ge=1, description="answers per optimiser step")
    epochs: int = Field(2, ge=1, description="passes over the pairs")
    pairs: int = Field(384, ge=1, description="(prompt, sample) pairs drawn by the Gibbs weights")
    system: str | None = Field(
        None, description="system prompt that adapters are trained and run under"
    )
