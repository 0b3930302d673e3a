"""Draws answers from a policy that is served elsewhere, through OpenAI's interface."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from palm_engine.bundle.served import (
    KEY_VARIABLE,
    as_text,
    lacks_system_role,
    without_system_role,
)
from palm_engine.errors import ConfigError, DependencyError, GenerationError
from palm_engine.lm.settings import SamplingSettings, TemplateSettings
from palm_engine.pipeline.parts import Asked, kept_in_parts, rows_of
from palm_engine.pipeline.sample import ANSWER_COLUMNS, FINISH
from palm_engine.pipeline.store import Store, key_of

PARALLEL = 8
# Seconds in which a server must say what it serves.
LISTING = 10.0


@dataclass(frozen=True)
class RemoteTask:
    """Answers of one served policy to prompts.

    Attributes:
        policy: its name in the bundle.
        url: of the server, as in http://localhost:8000/v1.
        model: its name there.
        system: the system prompt, or None for none.
        prompts: (prompt_id, text) each.
        samples: answers per prompt.
        settings: how they are drawn.
        seed: of the first sample; a server may ignore it.
        extras: whether top_k and repetition_penalty are sent, which OpenAI's own servers refuse.
        key_variable: environment variable that holds the key.
    """

    policy: str
    url: str
    model: str
    system: str | None
    prompts: tuple[tuple[str, str], ...]
    samples: int
    settings: SamplingSettings
    seed: int
    extras: bool = True
    key_variable: str = KEY_VARIABLE

    @property
    def key(self) -> str:
        """What its answers depend on; not where the server's key is kept."""
        return key_of(replace(self, key_variable=KEY_VARIABLE))


class LostServerError(GenerationError):
    """A server that can't be reached any more, or fails by itself."""


def draw_remote(
    task: RemoteTask,
    count: Callable[[Sequence[str]], list[int]],
    store: Store,
    name: str,
    key: str,
    progress: Callable[[float], None] = lambda _: None,
) -> pd.DataFrame:
    """Draw the task's answers; columns ANSWER_COLUMNS and `finish_reason`.

    Args:
        task: what to draw.
        count: lengths of texts in the base model's tokens, in which all policies are compared.
        store: keeps the answers, and parts of them until all are there.
        name: under which they are kept.
        key: what they depend on.
        progress: gets 1 for each answer.

    Raises:
        DependencyError: the extra 'remote' isn't installed.
        GenerationError: the server refuses; nothing is asked again under other settings.
    """
    client = client_of(task.url, task.key_variable, max_retries=3)

    def one(row: Asked) -> tuple[str, str]:
        found = ask(client, task, row[1], task.seed % 2**31 + row[2])
        progress(1)
        return found

    def some(rows: Sequence[Asked]) -> pd.DataFrame:
        with ThreadPoolExecutor(PARALLEL) as pool:
            return frame_of(task.policy, rows, list(pool.map(one, rows)), count)

    return kept_in_parts(name, key, rows_of(task.prompts, task.samples), store, some, progress)


def frame_of(
    policy: str,
    rows: Sequence[Asked],
    answers: Sequence[tuple[str, str]],
    count: Callable[[Sequence[str]], list[int]],
) -> pd.DataFrame:
    """Answers as a table; columns ANSWER_COLUMNS and `finish_reason`.

    Args:
        policy: who gave them.
        rows: what was asked.
        answers: text, and how it ended, of each.
        count: lengths of texts in the base model's tokens.
    """
    texts = [text for text, _ in answers]
    frame = pd.DataFrame(
        [
            (policy, pid, sample, text, tokens)
            for (pid, _, sample), text, tokens in zip(rows, texts, count(texts), strict=True)
        ],
        columns=ANSWER_COLUMNS,
    )
    return frame.assign(**{FINISH: [reason for _, reason in answers]})


def require_model(client: Any, url: str, model: str, field: str) -> None:
    """Check that a server is there and has a model.

    Args:
        client: openai's, of the server.
        url: of the server.
        model: that is to answer.
        field: of the configuration that names it.

    Raises:
        ConfigError: it isn't, or it hasn't; says what it serves.
    """
    import openai

    try:
        listed = client.with_options(max_retries=0).models.list(timeout=LISTING)
        known = [m.id for m in listed]
    except openai.OpenAIError as error:
        raise ConfigError(
            f"{field}: {url} doesn't say what it serves ({reason_of(error)}); is it running, and is"
            " its address right (it usually ends in /v1)?"
        ) from error
    if model not in known:
        raise ConfigError(
            f"{field}: {url} serves no {model!r}; it serves {', '.join(known[:8]) or 'nothing'}"
        )


def reason_of(error: BaseException) -> str:
    """What went wrong, in a few words: a server's own message where it sent one."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or getattr(error, "message", None) or error)[:200]


def client_of(url: str, key_variable: str = KEY_VARIABLE, **options: Any) -> Any:
    """A client of a server with OpenAI's interface.

    Args:
        url: as in http://localhost:8000/v1.
        key_variable: environment variable that holds the key.
        options: further ones of the client.

    Raises:
        DependencyError: the extra 'remote' isn't installed.
    """
    try:
        import openai
    except ImportError as error:
        raise DependencyError(
            "a server's answers need the extra 'remote': pip install -e '.[remote]'"
        ) from error
    return openai.OpenAI(base_url=url, api_key=os.environ.get(key_variable, "none"), **options)


def reply_key(seed: int, policy: str, prompt_id: str, sample: int) -> int:
    """A seed of its own for each answer, as servers take them (below 2^31)."""
    text = f"{seed}:{policy}:{prompt_id}:{sample}"
    return zlib.crc32(text.encode()) % 2**31


def ask(
    client: Any,
    task: RemoteTask,
    prompt: str,
    seed: int,
    template: TemplateSettings | None = None,
) -> tuple[str, str]:
    """An answer of a server, and how it says that it ended.

    A system prompt begins the user's message where the server's template has no system role.

    Args:
        client: openai's, of the server.
        task: whose model, system prompt and settings count.
        prompt: the user's.
        seed: of the answer; a server may ignore it.
        template: how the conversation is put to the model, where not as the server does by itself.

    Raises:
        GenerationError: the server refuses, or gives no answer.
        LostServerError: it can't be reached any more.
    """
    import openai

    s = task.settings
    system = [] if task.system is None else [{"role": "system", "content": task.system}]
    extras: dict[str, Any] = {}
    if task.extras:
        extras = {"top_k": s.top_k, "repetition_penalty": s.repetition_penalty}
    if template is not None:
        extras |= {"chat_template": template.text} if template.text is not None else {}
        extras |= {"chat_template_kwargs": template.options} if template.options else {}

    def reply_to(messages: list[dict[str, Any]]) -> Any:
        return client.chat.completions.create(
            model=task.model,
            messages=messages,
            max_tokens=s.max_new_tokens,
            temperature=s.temperature,
            top_p=s.top_p,
            seed=seed,
            extra_body=extras or None,
        )

    try:
        reply = _in_its_roles(reply_to, [*system, {"role": "user", "content": as_text(prompt)}])
    except openai.BadRequestError as error:
        hint = _hint(task, template, reason_of(error))
        raise GenerationError(f"{task.url}, model {task.model!r}: {error}{hint}") from error
    except (openai.APIConnectionError, openai.InternalServerError) as error:
        raise LostServerError(f"{task.url}, model {task.model!r}: {reason_of(error)}") from error
    except openai.OpenAIError as error:
        raise GenerationError(f"{task.url}, model {task.model!r}: {error}") from error
    if not reply.choices:
        raise GenerationError(f"{task.url}, model {task.model!r}: the reply holds no answer")
    choice = reply.choices[0]
    return (choice.message.content or "").strip(), str(choice.finish_reason or "")


def _in_its_roles(
    reply_to: Callable[[list[dict[str, Any]]], Any], messages: list[dict[str, Any]]
) -> Any:
    """The reply; without a system message where the server's template has no such role.

    Raises:
        BadRequestError: openai's, where the server refuses for another reason.
    """
    import openai

    try:
        return reply_to(messages)
    except openai.BadRequestError as error:
        if not lacks_system_role(messages, reason_of(error)):
            raise
    return reply_to(without_system_role(messages))


def _hint(task: RemoteTask, template: TemplateSettings | None, refusal: str) -> str:
    """What to do about a refusal; "" where nothing of ours can be the reason."""
    if template is not None and "template" in refusal:
        return (
            ". The configuration's [template] goes with every request: vLLM takes a text with"
            " --trust-request-chat-template, or give it the text itself (--chat-template)"
        )
    if task.extras:
        return (
            ". If it doesn't know top_k and repetition_penalty, leave them out (extras = false in"
            " the configuration, --no-extras with palm add): the answers are then drawn otherwise"
        )
    return ""
