"""A sequence classifier or reward model in Hugging Face's format as a reward."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from palm_engine._types import Floats, Notice
from palm_engine.errors import ConfigError, ModelSourceError
from palm_engine.rewards.settings import ClassifierSettings

if TYPE_CHECKING:
    from palm_engine.lm.classification import Encoded


class Classifier:
    """Scores by one logit of a sequence classifier; no code of the model is run.

    Args:
        settings: from a configuration.
        project: folder that a local model starts from.
        report: gets sentences on what is fetched.

    Raises:
        ModelSourceError: the model can't be had or read.
        ConfigError: it has no such label, or `chat` is asked of a model without chat template.
    """

    def __init__(
        self,
        settings: ClassifierSettings,
        project: Path = Path("."),
        report: Notice = lambda _: None,
    ) -> None:
        from palm_engine.lm.base_model.places import fingerprint, settings_sha256
        from palm_engine.lm.base_model.source import located, resolve_base
        from palm_engine.lm.classification import load_classifier

        self.name = settings.title
        self.settings = settings
        folder = resolve_base(located(settings.model, project), report)
        self._model, self._tokenizer = load_classifier(folder, settings.device)
        self._logit = _logit(settings, self._model.config)
        if settings.template == "chat" and self._tokenizer.chat_template is None:
            raise ConfigError(
                f"reward {self.name!r}: the model has no chat template; give a template with"
                " {prompt} and {answer}"
            )
        self._encoded(["?"], ["!"])  # a template that can't be rendered is refused now
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
        # Labels, tokenizer and template change scores as weights do.
        parts = (fingerprint(folder), settings_sha256(folder), str(self._logit), key)
        self.fingerprint = hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """Scores in [0, 1], shape (n,)."""
        from scipy.special import expit, softmax

        from palm_engine.lm.classification import class_logits

        s = self.settings
        encoded = self._encoded(prompts, answers)
        logits = class_logits(self._model, self._tokenizer, encoded, s.batch_size)
        if s.activation == "softmax":
            scores = softmax(logits, axis=-1)[:, self._logit]
        elif s.activation == "sigmoid":
            scores = expit(logits[:, self._logit])
        else:
            # A logit beyond the range is refused with its row by whoever asks, never clipped.
            scores = (logits[:, self._logit] - s.low) / (s.high - s.low)
        return np.asarray(1.0 - scores if s.invert else scores)

    def _encoded(self, prompts: Sequence[str], answers: Sequence[str]) -> list[Encoded]:
        from palm_engine.lm.classification import encode_filled, encode_pairs
        from palm_engine.lm.generation.conversation import exchange_ids, filled_ids

        most = self.settings.most_tokens
        template = self.settings.template
        if template is None:
            return encode_pairs(self._tokenizer, prompts, answers, most)
        pairs = zip(prompts, answers, strict=True)
        if template == "chat":
            return [{"input_ids": exchange_ids(self._tokenizer, p, a)[:most]} for p, a in pairs]

        def filled(prompt: str, answer: str) -> str:
            # Not str.format: braces in a text are only text.
            parts = re.split(r"(\{prompt\}|\{answer\})", template)
            texts = {"{prompt}": prompt, "{answer}": answer}
            return "".join(texts.get(part, part) for part in parts)

        inner = [filled_ids(self._tokenizer, filled, pair) for pair in pairs]
        return encode_filled(self._tokenizer, inner, most)


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
