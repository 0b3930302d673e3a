"""Stage 5: scores are averaged by prompt; the KL diagnostic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from palm_engine._types import Floats
from palm_engine.errors import BundleError
from palm_engine.lm.generation.conversation import Request
from palm_engine.lm.generation.sampling import sample_answers
from palm_engine.lm.settings import SamplingSettings, TemplateSettings
from palm_engine.pipeline.engines.worker import loaded_base, report_progress


def prompt_means(
    samples: pd.DataFrame, policies: Sequence[str], prompts: Sequence[str], traits: Sequence[str]
) -> Floats:
    """Scores averaged over a prompt's answers.

    Shape (prompts, policies, traits), in the order given.

    Raises:
        BundleError: a policy has no answer to some prompt.
    """
    means = samples.groupby(["prompt_id", "policy"], sort=False, observed=True)[list(traits)].mean()
    wanted = pd.MultiIndex.from_product([prompts, policies])
    table = means.reindex(wanted)
    if table.isna().to_numpy().any():
        missing = table.index[table.isna().any(axis=1)][0]
        raise BundleError(f"no answer of policy {missing[1]!r} to prompt {missing[0]!r}")
    return table.to_numpy().reshape(len(prompts), len(policies), len(traits))


@dataclass(frozen=True)
class KlTask:
    """The KL diagnostic of one policy.

    Fresh answers at temperature 1 to a few prompts that are not certified on.
    """

    base: str
    template: TemplateSettings | None
    policy: str
    system: str | None
    adapter: Path | None
    sources: tuple[str | None, ...]
    prompts: tuple[str, ...]
    max_new_tokens: int
    seed: int


@dataclass(frozen=True)
class KlEstimate:
    """Monte-Carlo KL to the reference in nats, with its standard error over `answers` answers."""

    mean: float
    standard_error: float
    answers: int


def estimate_kl(task: KlTask) -> KlEstimate:
    """KL to the mixture of sources, from the policy's own answers at temperature 1.

    The mean of log pi(y|x) - log mean over sources of p(y|x, source).
    """
    from palm_engine.lm.adapters.files import with_adapter
    from palm_engine.lm.generation.likelihood import log_likelihoods, log_mixture

    base = loaded_base(task.base, task.template)
    model = with_adapter(base.model, task.adapter)
    settings = SamplingSettings(
        max_new_tokens=task.max_new_tokens,
        temperature=1.0,
        top_p=1.0,
        top_k=base.model.config.vocab_size,
        repetition_penalty=1.0,
    )
    requests = [Request(task.system, p, (task.seed, 77, i)) for i, p in enumerate(task.prompts)]
    answers = sample_answers(model, base.tokenizer, requests, settings)
    own = log_likelihoods(model, base.tokenizer, task.system, task.prompts, answers)
    reference = [
        log_likelihoods(base.model, base.tokenizer, s, task.prompts, answers) for s in task.sources
    ]
    difference = own - log_mixture(np.array(reference))
    report_progress(1)
    return KlEstimate(
        float(difference.mean()),
        float(difference.std(ddof=1) / np.sqrt(len(difference))),
        len(difference),
    )
