"""Loading a base model: whatever would fail at the first question is refused before it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from palm_engine.errors import ModelSourceError
from tests.support.fakes import ARCHITECTURES, tiny_base, tiny_model

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from palm_engine.lm.base_model.load import check_base, load_base, load_tokenizer
from palm_engine.lm.generation.conversation import conversation_ids, turn_end_id
from palm_engine.lm.generation.sampling import answer_end_id, end_token_ids
from palm_engine.lm.settings import TemplateSettings

WITHOUT_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_base(tmp_path / "base")


def load(folder: Path, template: TemplateSettings | None = None) -> object:
    return load_base(str(folder), lambda _: None, "float32", device="cpu", template=template)


def test_a_whole_folder_is_loaded(folder: Path) -> None:
    load(folder)


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("config.json", None, "config.json missing"),
        ("config.json", "{", "not valid JSON"),
        ("config.json", '{"model_type": "bert"}', "lack .* tensors of a Bert"),
        ("model.safetensors", "cut", "can't be loaded"),
        ("tokenizer.json", "{", "no tokenizer"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "x-2.safetensors"}}', "x-2"),
        ("model.safetensors.index.json", "{", "readable"),
        ("chat_template.jinja", None, "no chat template"),
        ("chat_template.jinja", "{% for %}", "chat template fails"),
    ],
)
def test_what_is_broken_or_half_there_is_said_in_one_sentence(
    folder: Path, file: str, content: str | None, why: str
) -> None:
    if content is None:
        (folder / file).unlink()
    elif content == "cut":
        (folder / file).write_bytes((folder / file).read_bytes()[:5000])
    else:
        (folder / file).write_text(content)
    with pytest.raises(ModelSourceError, match=why) as found:
        load(folder)
    assert "\n" not in str(found.value)


def test_a_model_that_is_no_causal_language_model_is_refused(folder: Path, tmp_path: Path) -> None:
    import transformers

    config = transformers.T5Config(
        vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / "t5" / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelSourceError, match="causal language model"):
        load(tmp_path / "t5")


def test_a_template_without_system_role_puts_the_system_prompt_first(folder: Path) -> None:
    tokenizer = load_tokenizer(folder, TemplateSettings(text=WITHOUT_SYSTEM))
    assert tokenizer.decode(conversation_ids(tokenizer, None, "hi")) == "u:hi<end>a:"
    assert tokenizer.decode(conversation_ids(tokenizer, "be", "hi")) == "u:be\n\nhi<end>a:"


def test_options_of_a_template_are_set_and_a_text_replaces_it(folder: Path) -> None:
    text = (
        "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}"
        "{{ date_string }}"
    )
    options = TemplateSettings(
        text=text, options={"enable_thinking": False, "date_string": 'the "1st"'}
    )
    tokenizer = load_tokenizer(folder, options)
    assert tokenizer.decode(conversation_ids(tokenizer, None, "hi")) == 'hithe "1st"'
    plain = load_tokenizer(folder, TemplateSettings(text=text))
    assert "<think>" in plain.decode(conversation_ids(plain, None, "hi"))


def test_the_end_of_an_answer_is_what_the_template_puts_behind_one(folder: Path) -> None:
    model = tiny_model("Llama")
    tokenizer = load_tokenizer(folder)
    assert turn_end_id(tokenizer) is None
    assert answer_end_id(model, tokenizer) == tokenizer.eos_token_id
    # A second special token that ends a turn, as Gemma's <end_of_turn> beside its <eos>.
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    tokenizer.chat_template = WITHOUT_SYSTEM.replace("<end>", "<turn>")
    turn = tokenizer.convert_tokens_to_ids("<turn>")
    assert turn_end_id(tokenizer) == turn
    assert answer_end_id(model, tokenizer) == turn
    assert end_token_ids(model, tokenizer) == {1, turn}


def test_a_model_without_any_end_token_is_refused(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    for name in ("config.json", "generation_config.json"):
        content = json.loads((folder / name).read_text())
        content["eos_token_id"] = None
        (folder / name).write_text(json.dumps(content))
    with pytest.raises(ModelSourceError, match="no token that ends an answer"):
        load(folder)


def test_a_model_whose_forward_gives_no_single_logits_is_refused_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForCausalLM

    def forward(self: object, input_ids: object, attention_mask: object = None) -> None: ...

    monkeypatch.setattr(LlamaForCausalLM, "forward", forward)
    with pytest.raises(ModelSourceError, match=r"LlamaForCausalLM isn't supported.*logits_to_keep"):
        load(folder)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "Gemma3"])
def test_whole_folders_of_every_architecture_pass_and_other_shapes_do_not(
    tmp_path: Path, architecture: str
) -> None:
    folder = tiny_base(tmp_path / "base")
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    model = tiny_model(architecture)
    model.save_pretrained(tmp_path / "base")
    check_base(tmp_path / "base")
    path = tmp_path / "base" / "config.json"
    said = json.loads(path.read_text())
    said["vocab_size"] += 8
    path.write_text(json.dumps(said))
    with pytest.raises(ModelSourceError, match=r"by config\.json: they are of another model"):
        check_base(tmp_path / "base")
