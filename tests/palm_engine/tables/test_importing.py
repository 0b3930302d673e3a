"""Imported tables against the same numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from palm_engine.bundle.names import is_name
from palm_engine.errors import InvalidInputError
from palm_engine.tables.columns import recognise
from palm_engine.tables.files import TableFile
from palm_engine.tables.importing import import_table
from palm_engine.tables.read import read_reward_table
from palm_engine.tables.reward_table import RewardTable
from palm_engine.tables.scaling import Scaling
from palm_engine.tables.spec import (
    ImportSpec,
    TraitSpec,
    default_spec,
    parse_trait,
    spec_of,
    trait_name,
)
from tests.support.bundles import make_bundle


def table(*rows: tuple[object, ...], header: str) -> TableFile:
    return TableFile("t.csv", pd.DataFrame(list(rows), columns=header.split(",")), 2)


LONG = table(
    *(
        (model, f"q{q}", f"Question {q}?", f"{model} says {q}", 5 + q % 3 + i, 10 * (i + 1) + q)
        for i, model in enumerate(["org/a", "org a", "b"])
        for q in range(6)
    ),
    header="model,question_id,question,answer,grade,length",
)


def spec(file: TableFile, **changes: object) -> ImportSpec:
    return ImportSpec.model_validate({**default_spec(file).model_dump(), **changes})


def read(file: TableFile, **changes: object) -> RewardTable:
    return import_table(file, spec(file, **changes))


def test_a_wide_table_by_hand() -> None:
    file = table(
        ("org/x 7B", "70%", "1,200", "1"),
        ("org/x-7B", "20%", "200", "5"),
        ("ü", "50%", "700", "3"),
        header="Model,Win Rate,avg_length,grade",
    )
    found = read(file)
    assert found.policies == ["org-x-7B", "org-x-7B-2", "u"]
    assert found.labels == {"org-x-7B": "org/x 7B", "org-x-7B-2": "org/x-7B", "u": "ü"}
    assert found.traits == ["Win-Rate", "less-avg_length", "grade"]
    assert found.trait_labels == {"Win-Rate": "Win Rate", "less-avg_length": "less avg_length"}
    assert found.rewards == pytest.approx(np.array([[0.7, 0, 0], [0.2, 1, 1], [0.5, 0.5, 0.5]]))
    assert found.row("org/x-7B") == 1
    assert found.record is not None
    assert found.record.rows == 3
    assert "lower is better" in found.record.normalisation["less-avg_length"]
    assert found.samples is None


def test_a_long_table_by_hand() -> None:
    found = read(LONG)
    assert found.policies == ["org-a", "org-a-2", "b"]
    assert found.traits == ["grade", "less-length"]
    raw = LONG.frame
    grade = (raw["grade"].to_numpy().reshape(3, 6).mean(axis=1) - 1) / 9
    length = raw["length"].to_numpy().reshape(3, 6).mean(axis=1)
    expected = 1 - (length - raw["length"].min()) / (raw["length"].max() - raw["length"].min())
    assert found.rewards[:, 0] == pytest.approx(grade)
    assert found.rewards[:, 1] == pytest.approx(expected)
    assert found.scores is not None
    assert found.scores.shape == (6, 3, 2)
    assert found.scores.mean(axis=0) == pytest.approx(found.rewards)
    assert found.prompts is not None
    assert list(found.prompts["prompt_id"]) == [f"q{q}" for q in range(6)]
    assert list(found.prompts["text"]) == [f"Question {q}?" for q in range(6)]
    assert found.samples is not None
    assert list(found.samples["text"][:2]) == ["org/a says 0", "org/a says 1"]
    assert set(found.samples["policy"]) == set(found.policies)


def test_three_of_ten_columns_of_a_wide_table_are_taken() -> None:
    """As HELM's tables are: a row per model, a column per scenario and metric."""
    names = [f"MMLU - EM ({i})" for i in range(6)]
    names += ["Toxicity (lower is better)", "Bias", "Denoised inference time (s)", "Mean win rate"]
    rng = np.random.default_rng(0)
    cells = rng.random((12, 10)).round(3)
    cells[:, 8] *= 20
    file = TableFile("helm.csv", pd.DataFrame(cells.astype(str), columns=names), 2)
    file.frame.insert(0, "Model", [f"org/model {i} (7B)" for i in range(12)])
    wanted = (
        "exact=MMLU - EM (2)",
        "clean=Toxicity (lower is better):lower",
        "fast=Denoised inference time (s):lower:min-max",
    )
    with pytest.raises(InvalidInputError, match=r"9 column\(s\) look like traits .*choose 2 to 8"):
        default_spec(file)
    traits = [parse_trait(text, file).model_dump() for text in wanted]
    found = import_table(file, ImportSpec.model_validate({"policy": "Model", "traits": traits}))
    assert found.traits == ["exact", "clean", "fast"]
    assert found.rewards.shape == (12, 3)
    assert found.rewards[:, 0] == pytest.approx(cells[:, 2])
    assert found.rewards[:, 1] == pytest.approx(1 - cells[:, 6])
    time = cells[:, 8]
    assert found.rewards[:, 2] == pytest.approx((time.max() - time) / (time.max() - time.min()))
    assert found.labels[found.policies[3]] == "org/model 3 (7B)"


def test_a_column_called_cost_is_money_where_it_passes_1() -> None:
    rows = [("a", "50%", 3.5), ("b", "40%", 0.2), ("c", "70%", 15.0)]
    money = table(*rows, header="model,win_rate,cost")
    found = read(money)
    assert found.kl_cost is None
    assert found.traits == ["win_rate", "less-cost"]
    assert found.rewards[:, 1] == pytest.approx([(15 - c) / 14.8 for c in (3.5, 0.2, 15)])
    rewards = table(*((m, w, c / 20) for m, w, c in rows), header="model,win_rate,cost")
    assert spec_of(rewards, recognise(rewards.frame), ("win_rate", "cost")).cost == "cost", (
        "in reward units it is taken off"
    )


def test_one_decimal_sign_holds_for_the_whole_table() -> None:
    rows = [("a", "0,75", "1.234"), ("b", "0,60", "980"), ("c", "0,5", "2.049")]
    found = read(table(*rows, header="model,win,length"))
    length = np.array([1234, 980, 2049])
    assert found.rewards[:, 0] == pytest.approx([0.75, 0.6, 0.5])
    assert found.rewards[:, 1] == pytest.approx((2049 - length) / (2049 - 980))
    # Where another column has its decimals behind a point, each column speaks for itself.
    rows = [("a", "0,75", "1.5"), ("b", "0,60", "1.25"), ("c", "0,5", "2.75")]
    mixed = read(table(*rows, header="model,win,length"))
    assert mixed.rewards[:, 1] == pytest.approx([(2.75 - x) / 1.5 for x in (1.5, 1.25, 2.75)])


@pytest.mark.parametrize("cells", [("0.7", "0.54", "60%"), ("70%", "54%", "0.6")])
def test_a_percent_sign_in_some_cells_only_is_refused(cells: tuple[str, ...]) -> None:
    rows = [(m, c, x) for m, c, x in zip("abc", cells, (0.1, 0.2, 0.3), strict=True)]
    with pytest.raises(InvalidInputError, match=r"column win: .*with and without a percent sign"):
        read(table(*rows, header="model,win,x"))
    rows[2] = ("c", "0", 0.3)
    if cells[0] == "70%":
        found = read(table(*rows, header="model,win,x"))
        assert found.rewards[:, 0] == pytest.approx([0.7, 0.54, 0.0])


def test_names_without_latin_letters_and_long_ones_stay_apart() -> None:
    rows = [("甲", 0.1, 0.9), ("乙", 0.5, 0.5), ("丙", 0.9, 0.1)]
    found = read(table(*rows, header="模型,质量,速度"))
    assert found.policies == ["x", "x-2", "x-3"]
    assert [found.labels[p] for p in found.policies] == ["甲", "乙", "丙"]
    assert len(set(found.traits)) == 2
    assert all(is_name(t) for t in found.traits)
    long = [f"organisation/{'model-' * 20}{end}" for end in ("base", "chat")]
    found = read(table(*((n, 0.1 * i, 0.2) for i, n in enumerate(long)), header="model,x,y"))
    labels = [found.labels[p] for p in found.policies]
    assert len(set(labels)) == 2
    assert all(len(label) <= 80 and label.startswith("organisation/") for label in labels)


def test_models_may_be_called_by_numbers() -> None:
    assert read(table((1, 0.1, 0.2), (2, 0.3, 0.1), header="model,x,y")).policies == ["1", "2"]


def test_an_id_that_stands_for_two_prompts_is_refused() -> None:
    rows = [("a", "p", "Why?", 0.1, 0.2), ("b", "p", "How?", 0.3, 0.1)]
    with pytest.raises(InvalidInputError, match=r"row 3, column prompt: prompt 'p' is 'How\?'"):
        read(table(*rows, header="policy,prompt_id,prompt,x,y"))


def test_prompts_that_are_texts_get_ids() -> None:
    rows = [(m, f"How do I {q}?", 0.1 * (q + i), 0.5) for i, m in enumerate("ab") for q in range(3)]
    found = read(table(*rows, header="policy,prompt,x,y"))
    assert found.prompts is not None
    assert list(found.prompts["prompt_id"]) == ["prompt-0000", "prompt-0001", "prompt-0002"]
    assert found.prompts["text"][1] == "How do I 1?"


def test_several_answers_to_a_prompt_are_averaged_first() -> None:
    rows = [("a", "p", 0, 0.0, 0.4), ("a", "p", 1, 1.0, 0.4), ("a", "q", 0, 0.0, 0.2)]
    rows += [("b", "p", 0, 0.3, 0.1), ("b", "q", 0, 0.3, 0.1)]
    found = read(table(*rows, header="policy,prompt_id,sample_id,x,y"))
    assert found.rewards[0] == pytest.approx([0.25, 0.3])
    twice = [*rows, ("b", "q", 0, 0.9, 0.1)]
    with pytest.raises(InvalidInputError, match="row 7: policy, prompt and sample"):
        read(table(*twice, header="policy,prompt_id,sample_id,x,y"))


HOLES = table(
    ("a", "p", 0.1, 0.2),
    ("a", "q", 0.3, None),
    ("b", "p", 0.5, 0.6),
    ("b", "q", 0.7, 0.8),
    ("c", "p", 0.9, 0.9),
    header="policy,prompt_id,x,y",
)


def test_missing_cells_are_refused_or_dropped_and_counted() -> None:
    with pytest.raises(InvalidInputError, match=r"row 3, column y: .*1 of 5 rows.*drop-policy"):
        read(HOLES)
    policies = read(HOLES, missing="drop-policy")
    assert policies.policies == ["b"]
    assert policies.record is not None
    assert policies.record.dropped == {"policies": 2, "prompts": 0}
    assert policies.record.missing_cells == {"x": 0, "y": 1}
    prompts = read(HOLES, missing="drop-prompt")
    assert prompts.policies == ["a", "b", "c"]
    assert prompts.record is not None
    assert prompts.record.dropped == {"policies": 0, "prompts": 1}
    assert prompts.rewards == pytest.approx(np.array([[0.1, 0.2], [0.5, 0.6], [0.9, 0.9]]))
    hole = table(("a", "p", 1.0, None), header="policy,prompt_id,x,y")
    traits = [{"name": t, "column": t} for t in ("x", "y")]
    made = ImportSpec.model_validate(
        {"policy": "policy", "prompt": "prompt_id", "traits": traits, "missing": "drop-prompt"}
    )
    with pytest.raises(InvalidInputError, match="nothing is left"):
        import_table(hole, made)


@pytest.mark.parametrize("prompts", [2, 4])
def test_one_who_answers_the_same_to_few_prompts_is_named_too(prompts: int) -> None:
    rows = [
        (model, f"q{j}", "Yes." if model == "a" else f"{model} {j}", ".5", ".2")
        for model in "ab"
        for j in range(prompts)
    ]
    found = read(table(*rows, header="policy,prompt,text,x,y"), text="text")
    assert found.warnings == {"a": "gives the same answer to every prompt"}


def test_one_who_answers_the_same_to_everything_is_named() -> None:
    rows = []
    for policy in ("honest", "constant", "often"):
        for q in range(10):
            text = {"honest": f"{q}", "constant": " Yes. ", "often": "No" if q < 4 else f"{q}"}
            rows.append((policy, f"q{q}", text[policy], 0.1, 0.2 + q / 100))
    found = read(table(*rows, header="policy,prompt_id,text,x,y"))
    assert found.warnings == {
        "constant": "gives the same answer to every prompt",
        "often": "gives the same answer to 4 of 10 prompts",
    }
    rows = [
        (policy, f"q{q}", f"{policy} {q % 7 if policy == 'list' else q}", 0.1, 0.2 + q / 100)
        for policy in ("honest", "list")
        for q in range(36)
    ]
    found = read(table(*rows, header="policy,prompt_id,text,x,y"))
    assert found.warnings == {"list": "gives 7 answers to 36 prompts"}


@pytest.mark.parametrize(
    ("rows", "header", "why"),
    [
        ([("a", "x", ".1")] * 2, "policy,x,y", "column x: 'x' is not a number"),
        (
            [("a", ".1", ".1", "-1"), ("b", ".2", ".3", "1")],
            "policy,x,y,cost",
            "row 2, column cost",
        ),
        ([("a", "", ".1", ".2")], "policy,prompt_id,x,y", "row 2, column prompt_id: the prompt"),
        ([("a", "5", ".1"), ("b", "7", ".2")], "policy,x,y", "row 2, column x: 5 is not in"),
    ],
)
def test_what_cannot_be_used_is_named(rows: list[tuple[str, ...]], header: str, why: str) -> None:
    traits = [{"name": t, "column": t} for t in ("x", "y")]
    file = table(*rows, header=header)
    prompt = "prompt_id" if "prompt_id" in header else None
    cost = "cost" if "cost" in header else None
    made = ImportSpec.model_validate(
        {"policy": "policy", "prompt": prompt, "cost": cost, "traits": traits}
    )
    with pytest.raises(InvalidInputError, match=why):
        import_table(file, made)


def test_traits_as_the_command_line_gives_them() -> None:
    file = table(("a", 1, 2.5), ("b", 9, 0.5), header="policy,score: total,Latency ms")
    assert parse_trait("score: total", file) == TraitSpec(
        name="score-total",
        column="score: total",
        scaling=Scaling(method="min-max"),
    )
    found = parse_trait("speed=Latency ms:lower:range:0:4", file)
    assert found.name == "speed"
    assert found.scaling == Scaling(method="range", direction="lower", low=0, high=4)
    assert parse_trait(found.text, file) == found
    for text, why in (
        ("nowhere", "no column 'nowhere'"),
        ("Latency ms:upwards", "'upwards' is neither"),
        ("Latency ms:range:0", "range:LOW:HIGH"),
        ("Latency ms:range:4:0", "low below high"),
        ("a b=Latency ms", "name"),
    ):
        with pytest.raises(InvalidInputError, match=why):
            parse_trait(text, file)


def test_a_reward_table_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("model\tsafe\thumor\torder\nx/y\t0.5\t0.25\t1\nz\t1\t0\t0\n")
    found = read_reward_table(tmp_path / "t.tsv")
    assert found.policies == ["x-y", "z"]
    assert found.rewards[:, :2].tolist() == [[0.5, 0.25], [1, 0]]
    only = read_reward_table(tmp_path / "t.tsv", traits=["humor", "safe"])
    assert only.traits == ["humor", "safe"]
    assert only.rewards.tolist() == [[0.25, 0.5], [0, 1]]
    (tmp_path / "u.csv").write_text("model,a,b\nx,0.5,7\ny,0.1,9\n")
    with pytest.raises(InvalidInputError, match="palm import"):
        read_reward_table(tmp_path / "u.csv")


def test_names_that_would_be_paths_or_options_get_ids_and_stay_as_labels() -> None:
    names = ["..", ".hidden", "-rf", "a/b", "con", "--trust-remote-code"]
    found = read(table(*((n, 0.1 * i, 0.5) for i, n in enumerate(names)), header="policy,x,y"))
    assert [found.labels.get(p, p) for p in found.policies] == names
    assert len(set(found.policies)) == len(names)
    for policy in found.policies:
        assert is_name(policy)
        assert not policy.startswith(("-", "."))


def test_a_bundle_is_a_table_of_its_candidates_on_certify_prompts(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    for path in (bundle.folder, bundle.folder / "samples.parquet"):
        found = read_reward_table(path)
        assert found.policies == bundle.policies
        assert found.points == pytest.approx(bundle.points)
        scores = bundle.scores_on("certify")
        assert (found.scores is None) == (scores is None)
        if scores is not None:
            assert found.scores == pytest.approx(scores)
    two = read_reward_table(bundle.folder, bundle.traits[::-2])
    assert two.traits == bundle.traits[::-2]
    assert two.rewards == pytest.approx(bundle.rewards[:, ::-2])
    for wrong, why in ((["speed", "humor"], "no trait 'speed'"), (["humor"], "one trait")):
        with pytest.raises(InvalidInputError, match=why):
            read_reward_table(bundle.folder, wrong)


@pytest.mark.parametrize("direction", ["lower", "higher"])
@pytest.mark.parametrize("column", ["Latency ms", "quality", "price: per 1M"])
def test_a_trait_as_text_is_the_trait(column: str, direction: str) -> None:
    file = table(("a", 0.0), ("b", 1234567.5), header=f"policy,{column}")
    for scaling in (
        {"method": "range", "low": 0, "high": 1234567.5},
        {"method": "range", "low": 0.1 + 0.2, "high": 1e16},
        {"method": "quantile"},
    ):
        made = TraitSpec(
            name=trait_name(column, direction),  # type: ignore[arg-type]
            column=column,
            scaling=Scaling.model_validate({**scaling, "direction": direction}),
        )
        assert parse_trait(made.text, file) == made


@pytest.mark.parametrize(
    "name", ["place", "prompt", "prompt_text", "sample", "cluster", "cost", "number"]
)
def test_a_trait_may_be_called_like_a_column_of_ours(name: str) -> None:
    rows = [
        (f"m{i}", f"q{j}", f"Question {j}?", f"{i} says {j}", j % 2, f"c{j // 2}", i / 3, j / 5, 7)
        for i in range(3)
        for j in range(6)
    ]
    file = table(*rows, header="policy,q,asked,text,n,group,one,two,price")
    roles = {
        "prompt": "q",
        "prompt_text": "asked",
        "text": "text",
        "sample": "n",
        "cluster": "group",
        "cost": "price",
    }
    traits = [{"name": name, "column": "one"}, {"name": "other", "column": "two"}]
    found = import_table(
        file, ImportSpec.model_validate({"policy": "policy", "traits": traits, **roles})
    )
    assert found.traits == [name, "other"]
    assert found.rewards == pytest.approx(np.array([[i / 3, 0.5] for i in range(3)]))
    assert found.kl_cost == pytest.approx([7, 7, 7])
    assert found.prompts is not None
    assert list(found.prompts["text"]) == [f"Question {j}?" for j in range(6)]
    assert found.clusters == [f"c{j // 2}" for j in range(6)]
    assert found.samples is not None
    assert found.samples[name].tolist() == pytest.approx([r[6] for r in rows])


def test_prompts_can_only_be_dropped_where_there_are_some() -> None:
    file = table(("a", "", ".5"), ("b", ".1", ".2"), ("c", ".3", ".4"), header="policy,x,y")
    with pytest.raises(InvalidInputError, match="but it has none"):
        read(file, missing="drop-prompt")
    assert read(file, missing="drop-policy").policies == ["b", "c"]


@pytest.mark.parametrize("cell", ["", "-3", "many"])
def test_a_length_is_a_count(cell: str) -> None:
    rows = [
        (f"m{i}", f"q{j}", "words", ".5", str(0.1 * j), "4") for i in range(2) for j in range(3)
    ]
    rows[4] = (*rows[4][:5], cell)
    file = table(*rows, header="policy,prompt,text,x,y,tokens")
    with pytest.raises(InvalidInputError, match="row 6, column tokens"):
        read(file, tokens="tokens")


def test_answers_of_every_script_have_a_length() -> None:
    texts = ["Don't do it, please.", "水を飲んでください", "Пожалуйста, выпейте воды", "ดื่มน้ำ", ""]
    lengths = [4, 9, 3, 7, 0]
    rows = [
        (f"m{i}", f"q{j}", t, ".5", str(0.1 * j)) for i in range(2) for j, t in enumerate(texts)
    ]
    found = read(table(*rows, header="policy,prompt,text,x,y"), text="text")
    assert found.samples is not None
    assert list(found.samples["tokens"]) == lengths * 2
