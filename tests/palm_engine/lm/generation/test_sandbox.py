"""The counting sandbox renders as transformers does, and stops what makes too much."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("jinja2")
transformers = pytest.importorskip("transformers")

from transformers.utils import chat_template_utils

from palm_engine.errors import ModelSourceError
from palm_engine.lm.generation.sandbox import MOST_MADE, CountingSandbox
from palm_engine.lm.generation.templates import apply_template

# Of what templates of real models are made.
TEMPLATES = {
    "turns": "{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim }}\n{% endfor %}",
    "Qwen": """{%- set ns = namespace(multi_step_tool=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and not
        (message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.multi_step_tool = false %}{%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\n' + content ~ '<|im_end|>' ~ loop.index * 3 }}
    {{- ns.last }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}""",
    "Llama": """{%- macro turn(m, end='<eot>') -%}[{{ m['role'] | upper }}] {{ m['content'] }}
{{- end }}{%- endmacro -%}
{%- set date = strftime_now('%d %b %Y') if false else '26 Jul 2024' -%}
{{- 'Today: ' ~ date ~ 1 ~ none ~ 2.5 }}{% for m in messages %}{{ turn(m) }}{% endfor %}
{{- messages | map(attribute='role') | join(', ') }}{{ messages | tojson(indent=2) }}""",
    "Mistral": """{%- if messages[0]["role"] == "system" %}{%- set loop_messages = messages[1:] %}
{%- else %}{%- set loop_messages = messages %}{%- endif %}
{%- for m in loop_messages | selectattr('role', 'equalto', 'user') | list %}
{{- '[INST]' + m.content.replace('a', 'aa') + '[/INST]' + ('%s-%05d' % (m.role, 7)) }}
{%- if loop.last %}{{ '{:>5}'.format('x') }}{{ 'y' * 3 }}{{ [1, 2] + [3] }}{{ 7 % 4 }}{% endif %}
{%- endfor %}""",
}
TEMPLATES["stars"] = "**bold** {{ '**' }} {{ '  ' * 2 }} {{ 2 * 3 }} {{ 99999999 * 2 }}" + (
    "{{ messages[1].content }}"
)
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " 100000% sure? {1234567} <b>ja</b> </think> a "},
    {"role": "assistant", "content": "Yes: 12345678 %*d\n\n"},
]


def rendered(text: str, plain: bool) -> str:
    """What transformers makes of a template, in jinja2's sandbox or in ours."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    before = chat_template_utils.ImmutableSandboxedEnvironment
    kind = ImmutableSandboxedEnvironment if plain else CountingSandbox
    chat_template_utils.ImmutableSandboxedEnvironment = kind
    try:
        template = chat_template_utils._cached_compile_jinja_template(text)
    finally:
        chat_template_utils.ImmutableSandboxedEnvironment = before
    assert type(template.environment) is kind
    return str(template.render(messages=MESSAGES, add_generation_prompt=True))


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_renders_as_transformers_does(name: str) -> None:
    found = rendered(TEMPLATES[name], False)
    assert found == rendered(TEMPLATES[name], True)
    assert "Yes: 12345678" in found or "a " in found


class Tokenizer:
    """Renders as transformers' tokenizers do."""

    def __init__(self, text: str) -> None:
        self.chat_template = text

    def apply_chat_template(self, messages: Any, **named: Any) -> str:
        """The template with messages."""
        named.pop("tokenize")
        found = chat_template_utils.render_jinja_template(
            [messages], chat_template=self.chat_template, **named
        )
        return str(found[0][0])


def test_long_conversations_are_no_attack() -> None:
    long = [{"role": "user", "content": "ab " * 100_000}] * 5
    text = "{% for m in messages %}{{ '<' + m.content.replace('b', 'c') ~ '>' }}{% endfor %}"
    assert len(apply_template(Tokenizer(text), long, True)) == 5 * (300_000 + 2)


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(90000) %}{{ 'x' * 1000 }}{% endfor %}",
        "{% set s = 'x' * 99999 %}{% set l = [s] * 1000 %}{{ l | join }}",
        "{% set s = 'x' * 9999 %}{{ (['y'] * 99999) | join(s) }}",
        "{% set n = namespace(l=[1]) %}"
        "{% for i in range(50) %}{% set n.l = n.l + n.l %}{% endfor %}",
        "{% macro m(s) %}{{ s }}{{ s }}{{ s }}{{ s }}{% endmacro %}"
        "{% set s = 'x' * 99999 %}{{ m(m(m(m(m(m(m(s))))))) }}",
        "{% set w = 1000 * 1000 * 1000 %}{{ 'x'.ljust(w) }}",
        "{{ 9**9**9 }}",
        "{% set x = 'a' * 3000000000 %}{{ x }}",
        "{{ '%*d' % (99999999, 1) }}",
        "{{ messages | tojson(indent=99999) | indent(99999) }}",
        "{{ 'xxxxxxxxxx' * 9999 | replace('x', 'y' * 99999) }}",
        "{{ '{:{w}}'.format(1, w=999999999) }}",
        "{{ [[1]] | batch(99999999, 0) | list }}",
        "{{ lipsum(n=100000) }}",
        "{{ 'x' * 600000 }}" + " " * 500_000,
    ],
)
def test_what_makes_too_much_is_stopped(text: str) -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(ModelSourceError, match="chat template"):
            apply_template(Tokenizer(text), MESSAGES, True)
        assert tracemalloc.get_traced_memory()[1] < 10 * MOST_MADE
    finally:
        tracemalloc.stop()
