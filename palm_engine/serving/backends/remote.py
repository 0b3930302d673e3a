"""Policies on a server with OpenAI's interface, such as vLLM with one adapter per member.

Every row is a stream of its own; an event loop in a thread reads them all, and cancelling closes
the connections. A server samples in its own way: the same seed need not give the text that a local
model gives, and its repetition penalty, where it has one, also counts the prompt's words. See
docs/serving.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.served import (
    KEY_VARIABLE,
    as_text,
    lacks_system_role,
    without_system_role,
)
from palm_engine.errors import DependencyError, GenerationError
from palm_engine.serving.backends.interface import LiveSettings, Piece, check_request, row_seed

# Seconds in which a server must say what it serves.
LISTING = 10.0


class RemoteBackend:
    """A bundle's policies on the server at `url` (as in `http://localhost:8000/v1`).

    `models` maps policies to the names they are served under; left out, adapters are looked for
    under their policy's name, and the base and its prompted policies under the base's source or
    `base`. The key is read from `key_variable`.
    """

    def __init__(
        self,
        bundle: Bundle,
        url: str,
        models: Mapping[str, str] | None = None,
        key_variable: str = KEY_VARIABLE,
        timeout: float = 120.0,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise DependencyError(
                "a remote server needs the extra 'remote': pip install -e '.[remote]'"
            ) from error
        self.bundle = bundle
        self.url = url
        self._options: dict[str, Any] = {
            "base_url": url,
            "api_key": os.environ.get(key_variable, "none"),
            "timeout": timeout,
            "max_retries": 1,
        }
        try:
            with openai.OpenAI(**self._options) as client:
                self.served = tuple(model.id for model in client.models.list(timeout=LISTING))
        except openai.OpenAIError as error:
            raise GenerationError(
                f"{url}: the server can't be reached ({_reason(error)}); is it running?"
            ) from error
        self._models = dict(models) if models is not None else self._found()

    @property
    def policies(self) -> tuple[str, ...]:
        """Candidates that the server has a model for."""
        return tuple(p for p in self.bundle.policies if self._models.get(p) in self.served)

    def stream(
        self, prompts: Sequence[str], policies: Sequence[str], settings: LiveSettings
    ) -> Iterator[Piece]:
        """See Backend.stream."""
        check_request(self.policies, prompts, policies)
        rows_wanted = [(m, p) for m in policies for p in prompts]
        return self._merged(rows_wanted, settings)

    def _merged(
        self, rows_wanted: list[tuple[str, str]], settings: LiveSettings
    ) -> Iterator[Piece]:
        pieces: queue.Queue[Piece | BaseException] = queue.Queue()
        loop = asyncio.new_event_loop()
        work = loop.create_task(self._ask_all(rows_wanted, settings, pieces))

        def turn() -> None:
            asyncio.set_event_loop(loop)
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(work)
            loop.close()

        thread = threading.Thread(target=turn, name="palm-remote", daemon=True)
        thread.start()
        try:
            left = len(rows_wanted)
            while left:
                piece = pieces.get()
                if isinstance(piece, BaseException):
                    raise GenerationError(f"{self.url}: {_reason(piece)}") from piece
                left -= piece.done
                yield piece
        finally:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(work.cancel)
            thread.join(10)

    async def _ask_all(
        self, rows_wanted: list[tuple[str, str]], settings: LiveSettings, pieces: Any
    ) -> None:
        import openai

        try:
            async with openai.AsyncOpenAI(**self._options) as client:
                rows = [
                    self._ask(client, i, m, p, settings, pieces)
                    for i, (m, p) in enumerate(rows_wanted)
                ]
                await asyncio.gather(*rows)
        except Exception as error:
            pieces.put(error)

    async def _ask(
        self, client: Any, row: int, policy: str, prompt: str, settings: LiveSettings, pieces: Any
    ) -> None:
        candidate = self.bundle.candidate(policy)
        # vLLM's and others' own; a server that only knows OpenAI's settings refuses them.
        own = {"top_k": settings.top_k, "repetition_penalty": settings.repetition_penalty}
        if candidate.served_plainly:  # as its recorded answers were drawn
            own = {}
        options: dict[str, Any] = {
            "model": self._models[policy],
            "messages": [
                # Always explicit: a chat template would otherwise put in a system message of its
                # own.
                {"role": "system", "content": candidate.system or ""},
                {"role": "user", "content": as_text(prompt)},
            ],
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "seed": sum(row_seed(settings, policy, prompt)) % 2**31,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        answer, notice = await self._answer(client, options, own)
        counted = 0
        total = None
        begun = False
        finish: str | None = None
        async with answer:
            async for chunk in answer:
                text = (chunk.choices[0].delta.content or "") if chunk.choices else ""
                finish = (chunk.choices[0].finish_reason if chunk.choices else None) or finish
                if chunk.usage is not None:
                    total = chunk.usage.completion_tokens
                if text:
                    text, begun = (text, True) if begun else (text.lstrip(), bool(text.strip()))
                    counted += 1
                    pieces.put(Piece(row, text, False, 1))
        if finish not in (None, "stop", "length"):
            notice += f"{self.url} ended an answer of {policy} itself ({finish}). "
        # A server may put several tokens into one piece: its own count settles it, the end token
        # not counted. Not every server says why an answer ended.
        ended = total is not None and total < settings.max_new_tokens
        ended = ended if finish is None else finish == "stop"
        rest = 0 if total is None else max(total - int(ended) - counted, 0)
        pieces.put(Piece(row, "", True, rest, finish or "", notice.strip()))

    async def _answer(
        self, client: Any, options: dict[str, Any], own: dict[str, Any]
    ) -> tuple[Any, str]:
        """The stream of an answer, and what had to be left out of the request for it.

        Args:
            client: openai's.
            options: of the request.
            own: settings that not every server knows.

        Raises:
            BadRequestError: openai's, where the server refuses the request for another reason.
        """
        import openai

        notice = ""
        while True:
            try:
                return await client.chat.completions.create(**options, extra_body=own), notice
            except openai.BadRequestError as error:
                if any(name in str(error) for name in own):
                    notice = (
                        f"{self.url} doesn't know {' and '.join(own)}: this answer was drawn"
                        " without, unlike the recorded ones. "
                    )
                    own = {}
                elif lacks_system_role(options["messages"], _reason(error)):
                    options = options | {"messages": without_system_role(options["messages"])}
                else:
                    raise

    def _found(self) -> dict[str, str]:
        base = self.bundle.manifest.base
        names = [n for n in (base.source if base else None, "base") if n in self.served]
        plain = names[0] if names else None
        found = {
            c.policy: c.policy if c.kind in ("adapter", "soup") else plain
            for c in self.bundle.manifest.candidates
            if c.kind not in ("mixture", "remote")
        }
        return {policy: name for policy, name in found.items() if name is not None}


def _reason(error: BaseException) -> str:
    """What went wrong, in a few words: a server's own message where it sent one."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or getattr(error, "message", None) or type(error).__name__)
