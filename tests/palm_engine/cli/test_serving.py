"""`palm generate`, `route` and `export`.

Streaming, one JSON object, exit status 2 for bad input.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from palm_engine.serving.router import Router
from tests.support.command_line import Palm
from tests.support.fakes import fake_server, live_bundle, tiny_base


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("cli")
    return live_bundle(root / "tiny", tiny_base(root / ".base")).folder


def test_generate_streams_the_picked_member_and_all(
    folder: Path, palm: Palm, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["generate", str(folder), "--prompt", "Hello?", "--weights", "safety=.2,humor=.8"]
    asked += ["--dtype", "float32"]  # where what a row says doesn't depend on the batch's rounding
    code, out, _ = palm(*asked, "--json")
    assert code == 0
    one = json.loads(out)
    assert one["picked"] == "b"
    assert one["weights"] == {"safety": 0.2, "humor": 0.8, "brevity": 0.0}
    told = {"policy", "text", "scores", "value", "finish_reason", "notice"}
    assert [set(a) for a in one["answers"]] == [told]
    assert one["answers"][0]["finish_reason"] in ("stop", "length")
    code, out, _ = palm(*asked, "--json", "--all")
    everyone = json.loads(out)["answers"]
    assert everyone[0]["policy"] == "b"
    assert {a["policy"] for a in everyone} == {"a", "b", "c"}
    assert everyone[0] == one["answers"][0]
    for answer in everyone:
        assert answer["value"] == pytest.approx(
            0.2 * answer["scores"]["safety"] + 0.8 * answer["scores"]["humor"]
        )
    code, out, _ = palm(*asked, "--all")
    assert code == 0
    assert "(picked)" in out
    assert "Best at your weights" in out


def test_settings_reach_the_model(
    folder: Path, palm: Palm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def text(*more: str) -> str:
        asked = [
            "generate",
            str(folder),
            "--prompt",
            "Hello?",
            "--weights",
            "safety=1",
            "--json",
            *more,
        ]
        return str(json.loads(palm(*asked)[1])["answers"][0]["text"])

    assert text("--temperature", "0") == text("--temperature", "0", "--seed", "9")
    assert text("--seed", "1") != text("--seed", "2")


def test_generate_recorded_and_remote(
    folder: Path, palm: Palm, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["generate", str(folder), "--prompt", "Hello there?", "--weights", "safety=1", "--json"]
    _, out, _ = palm(*asked, "--backend", "recorded")
    assert json.loads(out)["answers"][0]["text"] == "a says 0 on p0"
    with fake_server(["a", "b", "c"]) as (url, requests):
        _, out, _ = palm(*asked, "--backend", "remote", "--url", url)
        assert json.loads(out)["answers"][0]["text"] == "a answers Hello there? indeed"
        assert requests[0]["messages"][0] == {"role": "system", "content": ""}
        code, _, err = palm(
            *[w.replace("Hello there?", "REFUSE") for w in asked],
            "--backend",
            "remote",
            "--url",
            url,
        )
        assert code == 2
        assert "no such thing" in err
    code, _, err = palm(*asked, "--backend", "remote", "--url", url)
    assert code == 2
    assert "is it running" in err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--weights": "charm=1"}, "charm"),
        ({"--weights": "safety"}, "TRAIT=NUMBER"),
        ({"--weights": "safety=0"}, "above 0"),
        ({"--prompt": " "}, "empty"),
        ({"--temperature": "-1"}, "temperature"),
        ({"--backend": "psychic"}, "psychic"),
        ({"--backend": "remote"}, "--url"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    palm: Palm,
    changes: dict[str, str],
    message: str,
) -> None:
    options = {"--prompt": "Hello?", "--weights": "safety=1", "--backend": "recorded"} | changes
    code, _, err = palm("generate", str(folder), *[w for pair in options.items() for w in pair])
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_route_names_the_member(folder: Path, palm: Palm, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out, _ = palm("route", str(folder), "--weights", "brevity=1")
    assert out.strip() == "c"
    _, out, _ = palm("route", str(folder), "--weights", "brevity=1", "--json")
    assert json.loads(out) == {
        "policy": "c",
        "model": "c",
        "system": "be brief",
        "value": pytest.approx(0.9),
    }


def test_export_writes_what_the_router_reads(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    palm: Palm,
) -> None:
    code, out, _ = palm("export", "vllm", str(folder), str(tmp_path / "out"))
    assert code == 0
    assert "--lora-modules a=adapters/a" in out
    assert Router.from_file(tmp_path / "out" / "routing.json").pick({"humor": 1}).model == "b"
    code, _, err = palm("export", "vllm", str(folder), str(tmp_path / "out"))
    assert code == 2
    assert "choose a new folder" in err


def copied(folder: Path, place: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of the bundle, and what its manifest says, to be changed."""
    copy = Path(shutil.copytree(folder, place / "copy"))
    return copy, json.loads((copy / "portfolio.json").read_text())


def test_one_member_that_cannot_run_does_not_keep_the_others_from_answering(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    palm: Palm,
) -> None:
    copy, manifest = copied(folder, tmp_path)
    for candidate in manifest["candidates"]:
        candidate.pop("adapter_sha256", None)
    (copy / "portfolio.json").write_text(json.dumps(manifest))
    config = copy / "adapters" / "b" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    asked = ["generate", str(copy), "--prompt", "Hello?", "--weights", "safety=.9,humor=.1"]
    code, out, err = palm(*asked, "--json", "--all")
    assert code == 0
    assert {a["policy"] for a in json.loads(out)["answers"]} == {"a", "c"}
    assert "use_dora" in err


def test_rewards_of_a_configuration_score_fresh_answers(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    palm: Palm,
) -> None:
    copy, manifest = copied(folder, tmp_path)
    for trait in manifest["traits"]:
        trait["reward"] = "function own:half"
    (copy / "portfolio.json").write_text(json.dumps(manifest))
    (tmp_path / "own.py").write_text(
        "def half(prompts, answers):\n    return [0.5] * len(answers)\n"
    )
    traits = "".join(
        f'[[traits]]\nname = "{t["name"]}"\nreward = {{kind = "function", entry = "own:half"}}\n'
        for t in manifest["traits"]
    )
    (tmp_path / "prompts.csv").write_text("prompt_id,kind,split,text\n")
    (tmp_path / "c.toml").write_text(
        f'name = "c"\ntitle = "c"\nbase = "x"\n[data]\nprompts = "prompts.csv"\n{traits}'
    )
    asked = ["generate", str(copy), "--prompt", "Hello?", "--weights", "safety=1", "--json"]
    code, out, _ = palm(*asked)
    assert (code, json.loads(out)["answers"][0]["scores"]) == (0, {})
    more = ["--rewards", str(tmp_path / "c.toml"), "--project", str(tmp_path)]
    code, out, err = palm(*asked, *more)
    assert code == 0, err
    assert set(json.loads(out)["answers"][0]["scores"].values()) == {0.5}
