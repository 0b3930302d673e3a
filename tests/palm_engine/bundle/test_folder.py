"""The bundle on disk: what is written is read back, and what is broken is refused by file and
field.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from palm_engine.bundle.folder import list_bundles, read_bundle
from palm_engine.bundle.writing import check_file, rewrite_manifest, write_bundle
from palm_engine.cli.main import app
from palm_engine.errors import BundleError
from tests.support.bundles import make_bundle


def edit(folder: Path, change: dict[str, object]) -> None:
    path = folder / "portfolio.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_round_trip(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "demo")
    again = read_bundle(tmp_path / "demo")
    assert again.manifest == made.manifest
    assert again.points.shape == (7, 3)
    assert [again.policies[i] for i in again.members] == ["m1", "m2", "m3"]
    answers = again.answers("p1", ["m2", "base"])
    assert answers["policy"].tolist() == ["m2", "m2", "base", "base"]
    assert again.answers("nowhere", ["m2"]).empty


def test_traits_are_called_as_people_call_them_if_that_tells_them_apart(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "demo", texts=False)
    assert made.trait_labels == made.traits
    named = [dict(t) for t in json.loads(made.manifest.model_dump_json())["traits"]]
    named[0]["display_name"] = "Win Rate"
    edit(tmp_path / "demo", {"traits": named})
    bundle = read_bundle(tmp_path / "demo")
    assert bundle.trait_labels == ["Win Rate", *bundle.traits[1:]]
    assert bundle.weights_text([0.5, 0.25, 0.25]).startswith("Win Rate 0.50, ")
    assert bundle.weights_text({bundle.traits[0]: 1.0}) == "Win Rate 1.00"
    named[1]["display_name"] = "Win Rate"
    edit(tmp_path / "demo", {"traits": named})
    assert read_bundle(tmp_path / "demo").trait_labels == made.traits


def test_rewriting_replaces_the_whole_folder_and_leaves_nothing_behind(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "demo", texts=False)
    (tmp_path / "demo" / "adapters" / "old").mkdir(parents=True)
    write_bundle(tmp_path / "demo", made.manifest, {})
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["demo", "portfolio.json"]


def test_a_write_that_fails_keeps_the_old_bundle(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "demo")
    with pytest.raises(FileNotFoundError):
        write_bundle(
            tmp_path / "demo",
            made.manifest,
            {"prompts": made.prompts},
            {"m1": tmp_path / "no-such-adapter"},
        )
    assert read_bundle(tmp_path / "demo").manifest == made.manifest
    assert list_bundles(tmp_path) == ["demo"]


def test_demo_is_listed_first_and_hidden_folders_not_at_all(tmp_path: Path) -> None:
    for name in ("alpha", "demo", ".part"):
        make_bundle(tmp_path / name.replace(".part", "hidden"), texts=False)
    (tmp_path / "hidden").rename(tmp_path / ".hidden")
    assert list_bundles(tmp_path) == ["demo", "alpha"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format_version": 9}, "format_version 9"),
        ({"candidates": []}, "candidates"),
        ({"extra": 1}, "extra: unknown key"),
        (
            {"members": [{"policy": "ghost", "weights": {"safety": 1, "humor": 0, "brevity": 0}}]},
            "ghost",
        ),
        ({"name": "../evil"}, "name"),
        (
            {
                "candidates": [{"policy": "a", "kind": "base", "rewards": {"safety": 0.1}}],
                "members": [],
            },
            "candidates.0",
        ),
        (
            {"candidates": [{"policy": "a/b", "kind": "base", "rewards": {}}], "members": []},
            "candidates.0.policy",
        ),
    ],
)
def test_broken_manifests_are_refused_by_field(
    tmp_path: Path, change: dict[str, object], match: str
) -> None:
    make_bundle(tmp_path / "demo")
    edit(tmp_path / "demo", change)
    with pytest.raises(BundleError, match=match):
        read_bundle(tmp_path / "demo")


def test_adapter_paths_stay_inside_the_bundle(tmp_path: Path) -> None:
    make_bundle(tmp_path / "demo")
    entries = json.loads((tmp_path / "demo" / "portfolio.json").read_text())["candidates"]
    edit(tmp_path / "demo", {"candidates": [entries[0] | {"adapter": "../../etc"}, *entries[1:]]})
    with pytest.raises(BundleError, match="inside the bundle"):
        read_bundle(tmp_path / "demo")


def test_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"portfolio\.json: no such file"):
        read_bundle(tmp_path)
    folder = tmp_path / "demo"
    make_bundle(folder)
    (folder / "samples.parquet").write_bytes(b"not parquet")
    with pytest.raises(BundleError, match=r"samples\.parquet"):
        _ = read_bundle(folder).samples
    pd.DataFrame({"prompt_id": ["a"]}).to_parquet(folder / "prompts.parquet")
    with pytest.raises(BundleError, match="column 'split'"):
        _ = read_bundle(folder).prompts
    (folder / "portfolio.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        read_bundle(folder)


def test_a_folder_that_is_no_portfolio_is_never_replaced(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "demo")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="isn't a bundle"):
        write_bundle(tmp_path / "documents", made.manifest, {})
    with pytest.raises(BundleError, match="isn't a bundle"):
        write_bundle(tmp_path, made.manifest, {})
    assert (tmp_path / "documents" / "thesis.txt").read_text() == "years of work"


def test_a_poorer_bundle_never_replaces_a_richer_one(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    made = make_bundle(folder)
    (folder / "adapters" / "calm").mkdir(parents=True)
    (folder / "adapters" / "calm" / "adapter_model.safetensors").write_bytes(b"trained for hours")
    poorer = made.manifest.model_copy(update={"certificate": None})
    with pytest.raises(BundleError, match="holds trained adapters, recorded texts"):
        write_bundle(folder, poorer, {})
    with pytest.raises(BundleError, match="holds trained adapters"):
        write_bundle(folder, made.manifest, {"prompts": made.prompts})
    assert (
        folder / "adapters" / "calm" / "adapter_model.safetensors"
    ).read_bytes() == b"trained for hours"
    assert read_bundle(folder).manifest == made.manifest
    write_bundle(tmp_path / "plain", poorer, {})
    write_bundle(tmp_path / "plain", poorer, {})  # equally rich: replaced
    (tmp_path / "plain" / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"other files \(notes.txt\)"):
        write_bundle(tmp_path / "plain", poorer, {})
    (tmp_path / "plain" / "notes.txt").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    with pytest.raises(BundleError, match="a link"):
        write_bundle(tmp_path / "link", poorer, {})


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    make_bundle(folder)
    (folder / "samples.parquet").rename(tmp_path / "elsewhere.parquet")
    (folder / "samples.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    with pytest.raises(BundleError, match="is a link"):
        _ = read_bundle(folder).samples


def test_scores_by_prompt_average_to_the_table_of_samples(bundles: Path) -> None:
    bundle = read_bundle(bundles / "demo")
    scores = bundle.scores_on("certify")
    assert scores is not None
    assert scores.shape == (3, 7, 3)
    assert np.allclose(
        scores.mean(axis=0), bundle.points
    )  # every answer of a test policy scores its mean
    assert bundle.scores_on("train") is None
    assert read_bundle(bundles / "no-texts").scores_on("certify") is None


def test_a_linked_manifest_is_refused(bundles: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "portfolio.json").symlink_to(bundles / "demo" / "portfolio.json")
    with pytest.raises(BundleError, match="is a link"):
        read_bundle(tmp_path / "linked")


def test_a_bundle_of_other_candidates_or_without_a_reading_keeps_the_old_one(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "demo"
    made = make_bundle(tmp_path / "rich")
    plain = made.manifest.model_copy(update={"certificate": None})
    write_bundle(folder, plain, {})
    write_bundle(folder, plain, {})
    assert not (tmp_path / "demo.previous").exists(), "the same again"
    last = plain.candidates[-1].policy
    gone = last not in [m.policy for m in plain.members]
    assert gone
    fewer = plain.model_copy(update={"candidates": plain.candidates[:-1]})
    write_bundle(folder, fewer, {})
    kept = read_bundle(tmp_path / "demo.previous").manifest
    assert last in [c.policy for c in kept.candidates]


def test_no_file_is_written_over_a_part_of_a_bundle(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "demo").folder
    for inside in ("portfolio.json", "samples.parquet", "adapters/a/x.json", "notes.csv"):
        with pytest.raises(BundleError, match="lies in a bundle"):
            check_file(folder / inside)
    check_file(tmp_path / "demo.md")
    before = (folder / "portfolio.json").read_bytes()
    done = CliRunner().invoke(
        app, ["account", str(folder), "--out", str(folder / "portfolio.json")]
    )
    assert isinstance(done.exception, BundleError)
    assert (folder / "portfolio.json").read_bytes() == before


def test_nothing_is_written_through_a_link_to_a_bundle(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "demo")
    (tmp_path / "link").symlink_to(tmp_path / "demo")
    linked = read_bundle(tmp_path / "link")
    with pytest.raises(BundleError, match="is a link"):
        rewrite_manifest(linked, linked.manifest.model_copy(update={"title": "changed"}))
    assert read_bundle(made.folder).manifest == made.manifest


def test_a_title_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "demo")
    odd = made.manifest.model_copy(update={"title": "caf\udce9"})
    with pytest.raises(BundleError, match="is no UTF-8"):
        write_bundle(tmp_path / "other", odd, {})
    assert not (tmp_path / "other").exists()


def test_a_replaced_bundle_is_kept_until_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    made = make_bundle(folder)
    (folder / "notes.txt").write_text("mine")
    poorer = made.manifest.model_copy(update={"certificate": None, "title": "poorer"})
    for old, title in ((made.manifest.title, "poorer"), ("poorer", "poorest")):
        again = write_bundle(folder, poorer.model_copy(update={"title": title}), {}, replace=True)
        assert again.manifest.title == title
        assert read_bundle(tmp_path / "demo.previous").manifest.title == old
        assert list_bundles(tmp_path) == ["demo"], "what was replaced isn't offered"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo", "demo.previous"]
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="isn't a bundle"):
        write_bundle(tmp_path / "documents", poorer, {}, replace=True)
    (tmp_path / "demo.previous" / "portfolio.json").unlink()
    (tmp_path / "demo.previous" / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match=r"demo\.previous: is no bundle.*move it away"):
        write_bundle(folder, poorer, {}, replace=True)
    assert (tmp_path / "demo.previous" / "thesis.txt").is_file()


def test_another_manifest_is_checked_before_it_takes_the_place_of_one(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    text = (bundle.folder / "portfolio.json").read_text()
    odd = bundle.manifest.model_copy(update={"members": bundle.manifest.members * 2})
    with pytest.raises(BundleError, match="nothing was written"):
        rewrite_manifest(bundle, odd)
    assert (bundle.folder / "portfolio.json").read_text() == text
    # Written anew since it was read: what was worked out belongs to another bundle.
    newer = bundle.manifest.model_copy(update={"title": "newer"})
    rewrite_manifest(bundle, newer)
    with pytest.raises(BundleError, match="written anew meanwhile"):
        rewrite_manifest(bundle, bundle.manifest.model_copy(update={"title": "older"}))
    assert read_bundle(bundle.folder).manifest.title == "newer"
