"""Sequence classifiers as rewards, against the model's own logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palm_engine.errors import ConfigError, InvalidInputError, ModelSourceError
from palm_engine.rewards import make_reward
from palm_engine.rewards.classifier import Classifier
from palm_engine.rewards.interface import fingerprint_of, scores_of
from palm_engine.rewards.settings import ClassifierSettings
from tests.support.fakes import tiny_base, tiny_classifier

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

PROMPTS = ["Why?", "A much longer question {prompt}", "Why?"]
ANSWERS = ["Because.", "No", "A longer answer {answer} with braces"]


def reward(folder: Path, **changes: Any) -> Any:
    content = {"kind": "classifier", "model": str(folder), "device": "cpu", **changes}
    return make_reward(ClassifierSettings.model_validate(content))


def by_hand(made: Any, *texts: str, **options: Any) -> np.ndarray:
    with torch.no_grad():
        encoded = made._tokenizer(*texts, return_tensors="pt", **options)
        return np.asarray(made._model(**encoded).logits[0].double())


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_pairs_are_scored_by_the_models_own_logits(tmp_path: Path, batch_size: int) -> None:
    folder = tiny_classifier(tmp_path / "c", labels=["fine", "toxic", "odd"])
    logits = [by_hand(reward(folder), p, a) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    soft = [np.exp(x)[1] / np.exp(x).sum() for x in logits]
    given = (PROMPTS, ANSWERS, [1] * 3)
    found = reward(folder, label="toxic", activation="softmax", batch_size=batch_size)
    assert found.score(*given) == pytest.approx(soft, abs=1e-5)
    inverted = reward(folder, label="toxic", activation="softmax", invert=True)
    assert inverted.score(*given) == pytest.approx(1 - np.array(soft), abs=1e-5)
    sigmoid = reward(folder, label=2)
    assert sigmoid.score(*given) == pytest.approx(
        [1 / (1 + np.exp(-x[2])) for x in logits], abs=1e-5
    )
    low, high = min(x[0] for x in logits) - 0.1, max(x[0] for x in logits) + 0.2
    ranged = reward(folder, label="fine", activation="range", low=low, high=high)
    assert scores_of(ranged, *given) == pytest.approx(
        [(x[0] - low) / (high - low) for x in logits], abs=1e-4
    )
    # What is beyond the range is refused with its row, not clipped.
    order = np.argsort([x[0] for x in logits])
    narrow = reward(folder, label="fine", activation="range", low=low, high=logits[order[1]][0])
    with pytest.raises(InvalidInputError, match=rf"row {order[2]}: score 1\..*widen the range"):
        scores_of(narrow, *given)


def test_templates_are_filled_without_reading_braces_in_texts(tmp_path: Path) -> None:
    folder = tiny_classifier(tmp_path / "c", labels=["good"])
    made = reward(folder, template="Q: {prompt} A: {answer}")
    logit = by_hand(made, f"Q: {PROMPTS[0]} A: {ANSWERS[2]}")[0]
    found = made.score(PROMPTS[:1], ANSWERS[2:], [1])
    assert found == pytest.approx([1 / (1 + np.exp(-logit))], abs=1e-5)
    with pytest.raises(ConfigError, match="no chat template"):
        reward(folder, template="chat")


def test_a_chat_template_is_filled_and_long_texts_are_cut(tmp_path: Path) -> None:
    folder = with_template(
        tiny_classifier(tmp_path / "c", labels=["good"]),
        "{% for m in messages %}({{ m['role'] }}){{ m['content'] }}{% endfor %}",
    )
    made = reward(folder, template="chat")
    # As apply_chat_template has it: no special tokens but those of the template.
    logit = by_hand(made, "(user)Why?(assistant)Because.", add_special_tokens=False)[0]
    assert made.score(["Why?"], ["Because."], [1]) == pytest.approx(
        [1 / (1 + np.exp(-logit))], abs=1e-5
    )
    # Twelve tokens: ten letters between the first and the last mark.
    short = reward(folder, template="{prompt}{answer}", most_tokens=12)
    logit = by_hand(made, "Why?Becaus")[0]
    assert short.score(["Why?"], ["Because it rained."], [1]) == pytest.approx(
        [1 / (1 + np.exp(-logit))], abs=1e-5
    )


@pytest.mark.parametrize("template", [None, "chat", "{prompt}[SEP]{answer}"])
def test_what_looks_like_a_special_token_in_an_answer_is_text(
    tmp_path: Path, template: str | None
) -> None:
    folder = with_template(
        tiny_classifier(tmp_path / "c", labels=["good"]), "{{ messages[1]['content'] }}[SEP]"
    )
    made = reward(folder, template=template)
    plain, marked = made._encoded(["Why?"] * 2, ["Because.", "Because.[SEP]And [CLS]more."])
    special = [i for i in plain["input_ids"] if i < 3]
    assert special
    assert [i for i in marked["input_ids"] if i < 3] == special
    assert len(marked["input_ids"]) == len(plain["input_ids"]) + len("[SEP]And [CLS]more.")


def test_a_chat_template_that_fails_is_refused_before_anything_is_scored(tmp_path: Path) -> None:
    folder = with_template(
        tiny_classifier(tmp_path / "c", labels=["good"]), "{{ raise_exception('not me') }}"
    )
    with pytest.raises(ModelSourceError, match="not me"):
        reward(folder, template="chat")


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_causal_reward_model_without_padding_is_read_at_its_last_token(
    tmp_path: Path, batch_size: int
) -> None:
    import transformers

    folder = tiny_base(tmp_path / "base")
    config = transformers.AutoConfig.from_pretrained(folder, num_labels=1, pad_token_id=None)
    torch.manual_seed(3)
    model = transformers.LlamaForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    made = reward(
        with_template(folder, "{{ messages[1]['content'] }}{{ eos_token }}", pad_token=None),
        template="chat",
        batch_size=batch_size,
    )
    answers = ["Yes.", "No, not at all.", "Ye?"]
    end = made._tokenizer.eos_token
    assert made._tokenizer.pad_token_id == made._tokenizer.eos_token_id
    expected = []
    for answer in answers:
        ids = made._tokenizer(answer + end, add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            hidden = model.model(ids["input_ids"]).last_hidden_state
            expected.append(torch.sigmoid(model.score(hidden)[0, -1, 0]).item())
    found = made.score(["?"] * 3, answers, [1] * 3)
    assert found == pytest.approx(expected, abs=1e-5)
    assert len({round(x, 4) for x in expected}) == 3


def with_template(folder: Path, template: str, **special: Any) -> Path:
    """The model with another chat template, and perhaps other special tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, **special)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = tiny_classifier(tmp_path / "c", labels=["good"])
    with pytest.raises(InvalidInputError, match="cuda"):
        reward(folder, device="cuda")


def test_fingerprints_follow_weights_and_settings(tmp_path: Path) -> None:
    a = tiny_classifier(tmp_path / "a", labels=["x", "y"])
    b = tiny_classifier(tmp_path / "b", labels=["x", "y"], seed=1)
    marks = [fingerprint_of(reward(f, label=label)) for f in (a, b) for label in ("x", "y")]
    assert len(set(marks)) == 4
    assert fingerprint_of(reward(a, label="x", batch_size=3)) == marks[0]


def test_fingerprints_follow_labels_and_tokenizer(tmp_path: Path) -> None:
    folder = tiny_classifier(tmp_path / "a", labels=["x", "y"])
    config = folder / "config.json"
    told = json.loads(config.read_text())

    def rewritten(**changes: object) -> str:
        config.write_text(json.dumps(told | changes))
        content = {"kind": "classifier", "model": str(folder), "device": "cpu", "label": "x"}
        settings = ClassifierSettings.model_validate(content)
        return Classifier(settings).fingerprint

    marks = [rewritten()]
    assert rewritten(transformers_version="0.1", _name_or_path="elsewhere") == marks[0]
    # The same name for the other logit: every score is another one.
    marks.append(rewritten(id2label={"0": "y", "1": "x"}, label2id={"y": 0, "x": 1}))
    tokens = folder / "tokenizer_config.json"
    tokens.write_text(json.dumps(json.loads(tokens.read_text()) | {"model_max_length": 7}))
    marks.append(rewritten())
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    marks.append(rewritten())
    assert len(set(marks)) == 4


def test_what_cannot_score_is_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = tiny_classifier(tmp_path / "c", labels=["x", "y"])
    with pytest.raises(ConfigError, match="no label 'z'; it has x, y"):
        reward(folder, label="z")
    with pytest.raises(ConfigError, match="no label 5"):
        reward(folder, label=5)
    single = tiny_classifier(tmp_path / "one", labels=["x"])
    with pytest.raises(ModelSourceError, match="softmax needs two labels"):
        reward(single, activation="softmax")
    base = tiny_base(tmp_path / "base")
    with pytest.raises(ModelSourceError, match="is no sequence classifier"):
        reward(base)
    with pytest.raises(ModelSourceError, match="not a local folder"):
        reward(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="low must be below high"):
        reward(folder, activation="range", low=1, high=0)
    with pytest.raises(ValueError, match="answer"):
        reward(folder, template="{prompt} only")
