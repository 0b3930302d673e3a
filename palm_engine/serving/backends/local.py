"""Policies on this machine: one base model, all adapters stacked, one batch for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from palm_engine.bundle.folder import Bundle
from palm_engine.errors import BundleError, InvalidInputError, ModelSourceError
from palm_engine.lm.adapters.files import WEIGHTS_FILE, read_adapter, require_evaluated
from palm_engine.lm.base_model.load import BaseModel
from palm_engine.lm.generation.conversation import Request, Turn
from palm_engine.lm.generation.detokenise import TextStream
from palm_engine.lm.generation.sampling import end_token_ids, stream_tokens
from palm_engine.serving.backends.interface import LiveSettings, Piece, check_request, row_seed


@dataclass
class LocalModel:
    """A loaded base and the adapters stacked on it; bundles on the same base share one.

    Attributes:
        base: the loaded base.
        stack: of its adapters.
        refused: why an adapter can't be stacked, by the key of its file.
    """

    base: BaseModel
    stack: Any
    refused: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, base: BaseModel) -> LocalModel:
        """`base` with an empty stack, made ready to answer fast; from now on it is the stack's."""
        from palm_engine.lm.adapters.stack import AdapterStack
        from palm_engine.lm.generation.decode_attention import use_decode_attention

        use_decode_attention(base.model)
        return cls(base, AdapterStack(base.model))


class LocalBackend:
    """Answers of a bundle's policies from a local model.

    Adapters are loaded when first asked for, or by `load`.
    """

    # Its work is done by whoever takes its pieces.
    works_here = True

    def __init__(self, model: LocalModel, bundle: Bundle) -> None:
        self.model = model
        self.bundle = bundle
        self._system: str | None = None
        self._earlier: tuple[Turn, ...] = ()

    def conversation(self, system: str, earlier: tuple[Turn, ...]) -> LocalBackend:
        """The same policies, asked in the course of a conversation.

        Args:
            system: in place of each policy's own system prompt.
            earlier: messages before the prompt.
        """
        made = LocalBackend(self.model, self.bundle)
        made._system = system
        made._earlier = earlier
        return made

    @property
    def policies(self) -> tuple[str, ...]:
        """All candidates that can be run.

        The base, prompted ones, and adapters that the bundle holds and that were not refused.
        """
        runnable = (c.policy for c in self.bundle.manifest.candidates if c.can_run)
        refused = self.model.refused
        return tuple(p for p in runnable if not any(k in refused for k in self.keys([p])))

    @property
    def loaded(self) -> tuple[str, ...]:
        """Policies that can answer without loading anything more."""
        stacked = set(self.model.stack.names)
        return tuple(p for p in self.policies if stacked.issuperset(self.keys([p])))

    def load(self, policies: Sequence[str]) -> None:
        """Stack the adapters of `policies`, all or none.

        Raises ModelSourceError where one isn't what was evaluated.
        """
        new = {}
        for policy in (part for p in policies for part in self._parts(p)):
            key = self._key(policy)
            if key is None or key in self.model.stack.names:
                continue
            folder = self.bundle.adapter_folder(policy)
            new[key] = read_adapter(folder)
            recorded = self.bundle.candidate(policy)
            require_evaluated(folder, recorded.adapter_sha256, recorded.adapter_weights_sha256)
        self.model.stack.add(new)

    def load_each(self, policies: Sequence[str]) -> dict[str, str]:
        """Stack the adapters of `policies` that can be; why not, by policy, of the others.

        Raises:
            ModelSourceError: none of them can answer.
        """
        try:
            self.load(policies)
        except (ModelSourceError, BundleError) as error:
            reasons: dict[str, str] = {}
            for policy in policies:
                try:
                    self.load([policy])
                except (ModelSourceError, BundleError) as reason:
                    reasons[policy] = str(reason)
                    if self.bundle.candidate(policy).adapter is not None:
                        self.model.refused[str(self._key(policy))] = str(reason)
            if len(reasons) == len(policies):
                raise error
            return reasons
        return {}

    def unload(self, policy: str) -> None:
        """Free the policy's adapter, where it has one and it is loaded."""
        key = self._key(policy)
        if key is not None:
            self.model.stack.remove(key)

    def bytes_of(self, policy: str) -> int:
        """Memory that the policy takes beside the base, in bytes.

        0 where it isn't loaded or has no adapter.
        """
        return sum(int(self.model.stack.bytes_of(key)) for key in self.keys([policy]))

    def requests(
        self, prompts: Sequence[str], policies: Sequence[str], settings: LiveSettings
    ) -> list[Request]:
        """A request a row: each policy's own system prompt, each row's own random stream."""
        return [
            Request(self._system_of(m), p, row_seed(settings, m, p), m, self._earlier)
            for m in policies
            for p in prompts
        ]

    def _system_of(self, policy: str) -> str:
        return (
            self._system if self._system is not None else self.bundle.candidate(policy).system or ""
        )

    def running(self, policies: Sequence[str], prompts: int) -> Any:
        """The context of a forward pass with rows `policies` x `prompts` (see `stack.on_rows`)."""
        return self.model.stack.on_rows([self._key(m) for m in policies for _ in range(prompts)])

    def keys(self, policies: Sequence[str]) -> list[str]:
        """Names under which the adapters of `policies` are stacked, of mixtures' parts too."""
        parts = (part for m in policies for part in self._parts(m))
        return [key for part in parts if (key := self._key(part)) is not None]

    def stream(
        self, prompts: Sequence[str], policies: Sequence[str], settings: LiveSettings
    ) -> Iterator[Piece]:
        """See Backend.stream; mixtures answer one after another, after the others."""
        check_request(self.policies, prompts, policies)
        self.longest(self.requests(prompts, policies, settings), settings)
        self.load(policies)
        return self._pieces(prompts, policies, settings)

    def _pieces(
        self, prompts: Sequence[str], policies: Sequence[str], settings: LiveSettings
    ) -> Iterator[Piece]:
        mixed = [p for p in policies if self.bundle.candidate(p).mixture]
        plain = [p for p in policies if p not in mixed]
        with self.model.stack.hold(self.keys(policies)):
            self.load(policies)  # again: one may have gone before its first token was asked for
            for group in ([plain] if plain else []) + [[p] for p in mixed]:
                # A mixture has a row per part: fewer prompts at once, so that no more memory is
                # needed than for another policy.
                size = max(1, len(prompts) // self.bundle.candidate(group[0]).passes)
                for start in range(0, len(prompts), size):
                    some = prompts[start : start + size]
                    rows = [
                        len(prompts) * policies.index(p) + start + i
                        for p in group
                        for i in range(len(some))
                    ]
                    for piece in self._decoded(some, group, settings):
                        yield piece._replace(row=rows[piece.row])

    def _decoded(
        self, prompts: Sequence[str], policies: Sequence[str], settings: LiveSettings
    ) -> Iterator[Piece]:
        """Answers of policies without a mixture, or of one mixture."""
        model = self.model.base.model
        tokenizer = self.model.base.tokenizer
        requests = self.requests(prompts, policies, settings)
        running = self.running(policies, len(prompts))
        mixture = self.bundle.candidate(policies[0]).mixture
        shares = tuple((mixture or {"": 1.0}).values())
        if mixture:
            requests = [replace(r, policy=part) for r in requests for part in mixture]
            running = self.running(list(mixture) * len(prompts), 1)
        ends = end_token_ids(model, tokenizer)
        count = len(requests) // len(shares)
        texts = [TextStream(tokenizer) for _ in range(count)]
        left = [settings.max_new_tokens] * count
        steps = stream_tokens(model, tokenizer, requests, settings, running, shares)
        try:
            for tokens in steps:
                for row, token in enumerate(tokens[:: len(shares)]):
                    if token is None:
                        continue
                    left[row] -= 1
                    if token in ends:
                        yield Piece(row, texts[row].rest(), True, finish="stop")
                    elif left[row] == 0:
                        text = texts[row].add(token) + texts[row].rest()
                        yield Piece(row, text, True, 1, "length")
                    else:
                        yield Piece(row, texts[row].add(token), False, 1)
        finally:
            steps.close()  # type: ignore[attr-defined]

    def _parts(self, policy: str) -> tuple[str, ...]:
        """Policies whose adapters it runs under: itself, or a mixture's parts."""
        return tuple(self.bundle.candidate(policy).mixture or (policy,))

    def longest(self, requests: list[Request], settings: LiveSettings) -> int:
        """Tokens of the longest of some requests, as the model reads it.

        Raises:
            InvalidInputError: with its answer it doesn't fit the model.
        """
        most = getattr(self.model.base.model.config, "max_position_embeddings", None)
        longest = max(len(r.ids(self.model.base.tokenizer)) for r in requests)
        if most is not None and longest + settings.max_new_tokens > most:
            raise InvalidInputError(
                f"a prompt of {longest} tokens and {settings.max_new_tokens} new ones don't fit the"
                f" model's {most}; shorten the prompt, or ask for fewer new tokens"
            )
        return longest

    def _key(self, policy: str) -> str | None:
        """Where the adapter is and what was evaluated: a rebuilt one is another one.

        Who asked before a bundle was replaced still gets the one that was loaded then.
        """
        candidate = self.bundle.candidate(policy)
        if candidate.adapter is None:
            return None
        file = self.bundle.folder / candidate.adapter / WEIGHTS_FILE
        if candidate.adapter_sha256 is not None:
            return f"{file}:{candidate.adapter_sha256}"
        return f"{file}:{file.stat().st_mtime_ns if file.is_file() else 0}"
