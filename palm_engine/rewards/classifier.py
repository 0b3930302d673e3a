"""A sequence classifier or reward model in Hugging Face's format as a reward."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from palm_engine._types import Floats, Notice
from palm_engine.errors import ConfigError, ModelSourceError
from palm_engine.rewards.settings import ClassifierSettings


class Classifier:
    """Scores by one logit of a sequence classifier; no code of the model is run.

    Args:
        settings: from a configuration.
        report: gets sentences on what is fetched.

    Raises:
        ModelSourceError: the model can't be had or read.
        ConfigError: it has no such label, or `chat` is asked of a model without chat template.
    """

    def __init__(self, settings: ClassifierSettings, report: Notice = lambda _: None) -> None:
        from palm_engine.lm.base_model.places import fingerprint
        from palm_engine.lm.base_model.source import resolve_base
        from palm_engine.lm.classification import load_classifier

        self.name = settings.title
        self.settings = settings
        folder = resolve_base(settings.model, report)
        self._model, self._tokenizer = load_classifier(folder, settings.device)
        self._logit = _logit(settings, self._model.config)
        if settings.template == "chat" and self._tokenizer.chat_template is None:
            raise ConfigError(
                f"reward {self.name!r}: the model has no chat template; give a template with"
                " {prompt} and {answer}"
            )
        how: str = settings.activation
        if how == "range":
            how = f"logit from {settings.low:g} to {settings.high:g}"
        self.hint = (
            ""
            if how == settings.activation
            else (
                f" (0 at the logit {settings.low:g}, 1 at {settings.high:g}: widen the range, or"
                " take sigmoid)"
            )
        )
        self.normalisation = ("1 - " if settings.invert else "") + how
        self.card = {
            "model": settings.model,
            "fingerprint": fingerprint(folder),
            "logit": self._logit,
            "activation": self.normalisation,
            "template": settings.template or "prompt and answer as a pair",
        }
        key = settings.model_dump_json(exclude={"batch_size", "device", "gate"})
        self.fingerprint = hashlib.sha256((fingerprint(folder) + key).encode()).hexdigest()

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """Scores in [0, 1], shape (n,)."""
        from scipy.special import expit, softmax

        from palm_engine.lm.classification import class_logits

        s = self.settings
        logits = class_logits(
            self._model,
            self._tokenizer,
            *self._texts(prompts, answers),
            batch_size=s.batch_size,
            most_tokens=s.most_tokens,
        )
        if s.activation == "softmax":
            scores = softmax(logits, axis=-1)[:, self._logit]
        elif s.activation == "sigmoid":
            scores = expit(logits[:, self._logit])
        else:
            # A logit beyond the range is refused with its row by whoever asks, never clipped.
            scores = (logits[:, self._logit] - s.low) / (s.high - s.low)
        return np.asarray(1.0 - scores if s.invert else scores)

    def _texts(
        self, prompts: Sequence[str], answers: Sequence[str]
    ) -> tuple[list[str], list[str] | None]:
        template = self.settings.template
        if template is None:
            return list(prompts), list(answers)
        pairs = zip(prompts, answers, strict=True)
        if template == "chat":
            return [self._chat(p, a) for p, a in pairs], None
        # Not str.format: braces in a text are only text.
        return [template.replace("{prompt}", p).replace("{answer}", a) for p, a in pairs], None

    def _chat(self, prompt: str, answer: str) -> str:
        messages = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": answer},
        ]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False))


def _logit(settings: ClassifierSettings, config: Any) -> int:
    labels = {str(v): int(k) for k, v in (config.id2label or {}).items()}
    label = settings.label
    number = labels.get(str(label), label if isinstance(label, int) else None)
    if number is None or not 0 <= number < config.num_labels:
        raise ConfigError(
            f"reward {settings.title!r}: the model has no label {label!r}; it has"
            f" {', '.join(labels)}"
        )
    if settings.activation == "softmax" and config.num_labels < 2:
        raise ModelSourceError(
            f"reward {settings.title!r}: softmax needs two labels; the model has one: use sigmoid"
            " or range"
        )
    return number
