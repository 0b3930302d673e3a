"""Wrong build configurations and data, for `palm build`: refused before anything is drawn."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.bad_input.case import Case
from tests.support.builds import edited as edit_config
from tests.support.builds import write_project
from tests.support.fakes import tiny_base

torch = pytest.importorskip("torch")

Edit = Callable[[Path], None]
SPLITS = ("train", "choose", "certify")


@cache
def base() -> Path:
    """A base model as a folder."""
    return tiny_base(Path(mkdtemp(prefix="palm-base-")) / "base")


def project(folder: Path) -> Path:
    """A project that would build but for what a case changes; the configuration's path."""
    return write_project(folder, base()).rename(folder / "c.toml")


def build(folder: Path, *more: object) -> list[object]:
    """The command."""
    return ["build", folder / "c.toml", "--project", folder, "--out", folder / "out", *more]


def line(*words: str) -> Callable[[Path], list[object]]:
    """A build with words of the configuration replaced: old, new, old, new."""

    def make(folder: Path) -> list[object]:
        edit_config(project(folder), *zip(words[::2], words[1::2], strict=True))
        return build(folder)

    return make


def setting(section: str, key: str, value: str) -> Callable[[Path], list[object]]:
    """A build with one setting of a section replaced or added."""

    def make(folder: Path) -> list[object]:
        path = project(folder)
        head, title, rest = path.read_text().partition(f"[{section}]\n")
        own, bracket, others = rest.partition("\n[")
        kept = [line for line in own.splitlines() if not line.startswith(f"{key} = ")]
        lines = [f"{key} = {value}", *kept]
        path.write_text(head + title + "\n".join(lines) + "\n" + bracket + others)
        return build(folder)

    return make


def file(content: str | bytes) -> Callable[[Path], list[object]]:
    """A build of a configuration of this content."""

    def make(folder: Path) -> list[object]:
        path = project(folder)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return build(folder)

    return make


def data(name: str, content: str | bytes | None) -> Callable[[Path], list[object]]:
    """A build with a data file of this content; None: without the file."""

    def make(folder: Path) -> list[object]:
        project(folder)
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return build(folder)

    return make


def edited(edit: Edit, *more: object) -> Callable[[Path], list[object]]:
    """A build in a folder that is edited."""

    def make(folder: Path) -> list[object]:
        project(folder)
        edit(folder)
        return build(folder, *[str(m).replace("{}", str(folder)) for m in more])

    return make


def at_folder(name: str) -> Edit:
    """A folder in a file's place."""

    def edit(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return edit


def append(path: Path, content: str) -> None:
    """More at a file's end."""
    path.write_text(path.read_text() + content)


def pipe(folder: Path) -> None:
    """A pipe in the configuration's place."""
    (folder / "c.toml").unlink()
    os.mkfifo(folder / "c.toml")


def thesis(folder: Path) -> None:
    """Somebody's documents in the bundle's place."""
    (folder / "o").mkdir()
    (folder / "o" / "thesis").touch()


def wider(folder: Path) -> None:
    """The project's own adapter is for a wider base."""
    from safetensors.torch import load_file, save_file

    path = folder / "mine" / "adapter_model.safetensors"
    twice = {
        k: torch.cat([v, v], 1 if "lora_A" in k else 0).contiguous()
        for k, v in load_file(path).items()
    }
    save_file(twice, path)


def over_adapters(folder: Path) -> list[object]:
    """A build that trains nothing, over a bundle of its name that holds an adapter."""
    from tests.support.bundles import make_bundle
    from tests.support.fakes import write_adapter

    plain = line("[data]", "train = false\n[data]")(folder)
    path = edit_config(folder / "c.toml", ("count = 2", "count = 0"), ('adapter = "mine"', ""))
    text = path.read_text()
    start, end = text.index("[[policies]]"), text.index("[[traits]]")
    path.write_text(text[:start] + text[end:].replace('lora-100-00 = "Low"', ""))
    write_adapter(make_bundle(folder / "tiny").folder / "adapters" / "m1", 0)
    (folder / "tiny").rename(folder / "out")
    return plain


def elsewhere(folder: Path) -> None:
    """The project's own adapter names layers that the base doesn't have."""
    from safetensors.torch import load_file, save_file

    path = folder / "mine" / "adapter_model.safetensors"
    save_file({k.replace("layers.0", "layers.7"): v for k, v in load_file(path).items()}, path)


def bundled(folder: Path) -> None:
    """A bundle where the work folder is to be."""
    (folder / "w").mkdir()
    (folder / "w" / "portfolio.json").write_text("{}")


def nothing(folder: Path) -> None:
    """No edit."""


OTHER = '[[policies]]\nname = "other"\nsystem = "CALM"\nadapter = "mine"\n'
HEAD = "prompt_id,kind,split,text\n"
ROWS = "a,any,train,A?\nb,any,choose,B?\nc,any,certify,C?\n"
LONG = "x" * 5000
CASES = [
    Case("no such file", lambda f: ["build", f / "no.toml", "--out", f / "out"], "no such file"),
    Case("a folder", edited(at_folder("c.toml")), "c.toml: can't be read"),
    Case(
        "a pipe",
        edited(pipe),
        "no regular file",
    ),
    Case("an adapter for a wider base", edited(wider), "trained on another model"),
    Case("an adapter for other layers", edited(elsewhere), "this base model doesn't have"),
    Case("a bundle to work in", edited(bundled, "--work", "{}/w"), "is a bundle"),
    Case("empty", file(""), "name"),
    Case("not TOML", file("name = "), "not valid TOML"),
    Case("JSON", file('{"name": "x"}'), "not valid TOML"),
    Case("latin-1", file(b'name = "t\xe9"'), "not valid TOML"),
    Case("UTF-16", file('name = "x"'.encode("utf-16")), "not valid TOML"),
    Case("nested deeply", file("x = " + "[" * 100_000), "not valid TOML"),
    Case("a number of 5,000 digits", file("x = " + "9" * 5000), "not valid TOML|unknown key|name"),
    Case("a key twice", line('title = "tiny"', 'title = "tiny"\ntitle = "x"'), "not valid TOML"),
    Case("an unknown key", line("seed = 0", "sede = 0"), "sede: unknown key"),
    Case("an unknown section", line("[pool]", "[pol]"), "pol: unknown key"),
    Case("a name missing", line('name = "tiny"\n', ""), "name"),
    *(
        Case(
            f"one prompt to {split}",
            data(
                "prompts.csv",
                "\n".join(
                    ["prompt_id,kind,split,text"]
                    + [
                        f"{s}-{i},any,{s},{s} {i}?"
                        for s in SPLITS
                        for i in range(1 if s == split else 3)
                    ]
                ),
            ),
            f"split '{split}' has 1 prompts; it needs 2 or more",
        )
        for split in ("choose", "certify")
    ),
    Case(
        "all prompts of one cluster",
        data(
            "prompts.csv",
            "\n".join(
                ["prompt_id,kind,split,text,cluster"]
                + [f"{s}-{i},any,{s},{s} {i}?,{s}" for s in SPLITS for i in range(3)]
            ),
        ),
        "split 'choose' has 1 clusters of prompts|split 'certify' has 1 clusters of prompts",
    ),
    Case(
        "a display name of nobody",
        line("lora-100-00 = ", "ghost = "),
        "display_names: there is no policy 'ghost'",
    ),
    *(
        Case(
            f"{field} of nowhere",
            line("seed = 0", f'seed = 0\n{field} = ["ghost"]'),
            f"{field}: 'ghost' is no prompt_id of choose or certify",
        )
        for field in ("curated_prompts", "never_curated")
    ),
    Case(
        "nothing trained in the place of adapters",
        over_adapters,
        "holds trained adapters, which would be deleted",
    ),
    Case("name ..", line('name = "tiny"', 'name = ".."'), "name"),
    Case("name .hidden", line('name = "tiny"', 'name = ".hidden"'), "name"),
    Case("name -rf", line('name = "tiny"', 'name = "-rf"'), "name"),
    Case("seed -1", line("seed = 0", "seed = -1"), "seed"),
    Case("seed a word", line("seed = 0", 'seed = "one"'), "seed"),
    Case("seed 2^70", line("seed = 0", f"seed = {2**70}"), "seed"),
    Case("base empty", line('base = "', 'base = ""\n#'), "base"),
    Case("base a folder that isn't there", line('base = "/', 'base = "/nowhere/'), "nowhere"),
    Case(
        "base with remote code",
        line('base = "', 'trust_remote_code = true\nbase = "'),
        "trust_remote_code: unknown",
    ),
    Case(
        "one trait",
        line(
            '[[traits]]\nname = "vowels"\nreward = {kind = "function", entry = "own:vowels"}\n', ""
        ),
        "traits",
    ),
    Case("a trait twice", line('name = "vowels"', 'name = "low"'), "two entries share a name"),
    *(
        Case(
            f"a trait called {name}",
            line('name = "vowels"', f'name = "{name}"'),
            f"'{name}'|traits",
        )
        for name in (
            "text",
            "policy",
            "prompt_id",
            "source",
            "tokens",
            "sample_id",
            ".x",
            "-x",
            "",
            "a b",
        )
    ),
    Case(
        "a reward that isn't there",
        line('reward = {kind = "function", entry = "own:low"}', 'reward = "magic"'),
        "'magic'.*known are",
    ),
    Case("a reward of no kind", line('kind = "function"', 'kind = "magic"'), "magic"),
    Case("a reward without kind", line('kind = "function", ', ""), "kind"),
    Case("a function that isn't there", line("own:low", "own:lower"), "no function lower"),
    Case("a module that isn't there", line("own:low", "nowhere_at_all:low"), "nowhere_at_all"),
    Case("a function that is code", line("own:low", "os:system('x')"), "entry"),
    Case("a function out of the project", line("own:low", "../own:low"), "entry"),
    Case(
        "a reward's model that isn't there",
        line(
            '{kind = "function", entry = "own:low"}',
            '{kind = "reward_model", folder = "none", head = "x"}',
        ),
        "no such file; write one with palm rewards train",
    ),
    Case(
        "a probe that isn't there",
        line('{kind = "function", entry = "own:low"}', '{kind = "probe", weights = "none.json"}'),
        "none.json",
    ),
    Case(
        "a judge without rubric",
        line(
            '{kind = "function", entry = "own:low"}',
            '{kind = "judge", url = "http://localhost:1/v1", model = "x", rubric = "hm"}',
        ),
        "rubric",
    ),
    Case(
        "a judge that is a file",
        line(
            '{kind = "function", entry = "own:low"}',
            '{kind = "judge", url = "file:///etc/passwd", model = "x", rubric = "is it kind?"}',
        ),
        "url",
    ),
    Case(
        "a length of 1",
        line('{kind = "function", entry = "own:low"}', '{kind = "length", most = 1}'),
        "most",
    ),
    Case("a style called base", line('name = "loud"', 'name = "base"'), "'base' is kept"),
    Case("a style called ..", line('name = "loud"', 'name = ".."'), "styles.0.name"),
    Case("a style called .x", line('name = "loud"', 'name = ".x"'), "styles.0.name"),
    Case("a style called like a policy", line('name = "loud"', 'name = "mine"'), "share a name"),
    Case(
        "a style called like an adapter", line('name = "loud"', 'name = "lora-50-50"'), "lora-50-50"
    ),
    Case(
        "a system prompt of a megabyte",
        line('system = "SHOUT"', f'system = "{"x" * 1_000_000}"'),
        "styles.0.system",
    ),
    Case(
        "a system prompt longer than the context",
        line('system = "SHOUT"', f'system = "{"x " * 9_000}"'),
        "tokens.*at most",
    ),
    Case("an adapter that isn't there", line('adapter = "mine"', 'adapter = "none"'), "none"),
    Case(
        "a policy without anything", line('adapter = "mine"', ""), "adapter, soup, mixture or url"
    ),
    *(
        Case(f"a policy of {what}", line('adapter = "mine"', f"{entry}\n{OTHER}"), message)
        for what, entry, message in (
            ("two kinds", 'adapter = "mine"\nsoup = {other = 1}', "give one of adapter, soup"),
            ("no parts", "soup = {}", "policies.0.soup"),
            ("weights of 0", "soup = {other = 0}", "other than 0"),
            ("infinite weight", "mixture = {other = inf}", "policies.0.mixture.other"),
            ("unknown parts", "mixture = {nobody = 1}", "'nobody' is no policy with an adapter"),
            ("a part without adapter", "soup = {loud = 1}", "'loud' is no policy with an adapter"),
            ("itself", "soup = {mine = 1}", "'mine' is no policy with an adapter"),
            (
                "two system prompts",
                "soup = {other = 0.5, lora-100-00 = 0.5}",
                "run under different system prompts",
            ),
        )
    ),
    Case(
        "a mixture on servers",
        line(
            'adapter = "mine"',
            f"mixture = {{other = 1}}\n{OTHER}",
            "[sampling]\n",
            '[sampling]\nengine = "openai"\nurls = ["http://127.0.0.1:9/v1"]\n',
        ),
        "servers mix no logits",
    ),
    Case(
        "a policy of both",
        line('adapter = "mine"', 'adapter = "mine"\nurl = "http://localhost:1/v1"\nmodel = "x"'),
        "give one of adapter",
    ),
    Case(
        "a served policy without model",
        line('adapter = "mine"', 'url = "http://localhost:1/v1"'),
        "url and model",
    ),
    Case(
        "a served policy by file",
        line('adapter = "mine"', 'url = "file:///etc"\nmodel = "x"'),
        "url",
    ),
    *(
        Case(f"{key} = {value}", setting(section, key, value), rf"{section}\.{key}")
        for section, key, values in (
            (
                "sampling",
                "max_new_tokens",
                ("0", "-1", "1.5", "1e9", '"many"', "99999999"),
            ),
            ("pool", "samples_per_source", ("0", "1000000000", "2.5")),
            ("plan", "resolution", ("0", "101", "-3", "nan")),
            (
                "plan",
                "betas",
                ("[]", "[0]", "[-1]", "[inf]", "[nan]", "[0.1, 0.1]", '["x"]', "0.1"),
            ),
            ("plan", "adapters", ("0", "-1")),
            ("plan", "baseline_size", ("0",)),
            ("plan", "outside", ("-1",)),
            (
                "training",
                "learning_rate",
                ("0", "-1", "inf", "nan", "1e30"),
            ),
            ("training", "epochs", ("0", "1000000", "1.5")),
            ("rounds", "count", ("0", "11")),
            ("evaluation", "answers_per_prompt", ("0", "1000000000")),
            ("evaluation", "kl_prompts", ("1", "0")),
            ("selection", "k", ("0", "-1")),
            ("selection", "resamples", ("1", "1000000000")),
            ("run", "workers", ("0", "100000")),
            ("run", "batch_size", ("0", "1000000")),
        )
        for value in values
    ),
    *(
        Case(
            f"training.{key} = {value}",
            setting("training", key, value),
            rf"training\.{key}",
        )
        for key, value in (
            ("rank", "0"),
            ("rank", "65"),
            ("rank", '"four"'),
            ("alpha", "0"),
            ("alpha", "inf"),
            ("alpha", "1e9"),
            ("held_out", "1"),
            ("held_out", "-0.1"),
            ("held_out", "nan"),
            ("method", '"magic"'),
            ("draws_per_prompt", "0"),
            ("draws_per_prompt", "1000000000000"),
            ("batch_size", "0"),
        )
    ),
    *(
        Case(
            f"training.{method} = {value}",
            setting("training", method, value),
            rf"training\.{method}\.{key}",
        )
        for method, key, value in (
            ("dpo", "beta", "{beta = 0}"),
            ("dpo", "beta", "{beta = nan}"),
            ("dpo", "margin", "{margin = 1.5}"),
            ("dpo", "margin", "{margin = -0.1}"),
            ("dpo", "gamma", "{gamma = 1}"),
            ("grpo", "steps", "{steps = 0}"),
            ("grpo", "generations", "{generations = 1}"),
            ("grpo", "beta", "{beta = -1}"),
            ("grpo", "beta", "{beta = inf}"),
            ("grpo", "aggregation", '{aggregation = "sum"}'),
        )
    ),
    *(
        Case(
            f"selection.{key} = {value}",
            setting("selection", key, value),
            rf"selection\.{key}",
        )
        for key, value in (
            ("confidence", "0.5"),
            ("confidence", "1"),
            ("confidence", "nan"),
            ("slack", "-1"),
            ("slack", "2"),
            ("seconds", "0"),
            ("seconds", "nan"),
        )
    ),
    Case("too many weights", line("resolution = 10", "resolution = 3"), "plan.resolution"),
    Case("more adapters than weights", line("adapters = 3", "adapters = 50"), "plan.resolution"),
    Case(
        "demonstrations left out of one round",
        line("count = 1", "count = 1\nkeep_demonstrations = false"),
        "keep_demonstrations",
    ),
    Case(
        "an answer longer than the context",
        line("max_new_tokens = 6", "max_new_tokens = 600"),
        "600.*at most",
    ),
    Case("prompts: no such file", data("prompts.csv", None), "prompts.csv: no such file"),
    Case("prompts: a folder", edited(at_folder("prompts.csv")), "prompts.csv: can't be read"),
    Case(
        "prompts: /etc/passwd", line('prompts = "prompts.csv"', 'prompts = "/etc/passwd"'), "passwd"
    ),
    Case(
        "prompts: a null byte",
        line('prompts = "prompts.csv"', 'prompts = "a\\u0000b"'),
        "null|no such|can't be read",
    ),
    Case("prompts: empty", data("prompts.csv", ""), "prompts.csv: can't be read"),
    Case("prompts: header only", data("prompts.csv", HEAD), "no prompt has split"),
    Case(
        "prompts: no column split",
        data("prompts.csv", "prompt_id,kind,text\na,b,c\n"),
        "missing column.*split",
    ),
    Case(
        "prompts: latin-1",
        data("prompts.csv", (HEAD + ROWS).replace("A?", "é?").encode("latin-1")),
        "UTF-8",
    ),
    Case(
        "prompts: UTF-16",
        data("prompts.csv", (HEAD + ROWS).encode("utf-16")),
        "UTF-8|missing column",
    ),
    Case(
        "prompts: rows too long",
        data("prompts.csv", HEAD + ROWS + "d,any,train,D,E,F\n"),
        "line 5|can't be read",
    ),
    Case(
        "prompts: an unknown split",
        data("prompts.csv", HEAD + ROWS + "d,any,test,D?\n"),
        "row 5: split 'test'",
    ),
    Case(
        "prompts: an id twice",
        data("prompts.csv", HEAD + ROWS + "a,any,train,D?\n"),
        "row 5: prompt_id 'a'",
    ),
    Case(
        "prompts: an id that is a path",
        data("prompts.csv", HEAD + ROWS + "../x,any,train,D?\n"),
        "row 5: prompt_id",
    ),
    Case(
        "prompts: an empty text",
        data("prompts.csv", HEAD + ROWS + "d,any,train, \n"),
        "row 5: text",
    ),
    Case(
        "prompts: none to certify",
        data("prompts.csv", HEAD + ROWS.replace("certify", "choose")),
        "'certify'",
    ),
    Case(
        "prompts: one of 5,000 letters",
        edited(lambda f: append(f / "prompts.csv", f"\nlong,any,certify,{LONG}\n")),
        "'long'.*tokens.*at most",
    ),
    Case("written: no such file", data("written.csv", None), "written.csv: no such file"),
    Case("written: a folder", edited(at_folder("written.csv")), "written.csv: can't be read"),
    Case("written: empty", data("written.csv", ""), "written.csv: can't be read"),
    Case(
        "written: no column text",
        data("written.csv", "prompt_id,style\na,b\n"),
        "missing column.*text",
    ),
    Case(
        "written: latin-1",
        data("written.csv", "prompt_id,style,text\ntrain-0,a,é\n".encode("latin-1")),
        "UTF-8",
    ),
    Case(
        "written: of another prompt",
        data("written.csv", "prompt_id,style,text\nchoose-0,a,b\n"),
        "'choose-0' is not a train prompt",
    ),
    Case(
        "written: an empty text",
        data("written.csv", "prompt_id,style,text\ntrain-0,a,\n"),
        "row 2: text is empty",
    ),
    Case(
        "written: not for every prompt",
        data("written.csv", "prompt_id,style,text\ntrain-0,a,b\n"),
        "equally many",
    ),
    Case("out called ..", edited(nothing, "--out", "{}/.."), "name has"),
    Case("out called .x", edited(nothing, "--out", "{}/.x"), "name has"),
    Case("out a file", edited(lambda f: (f / "o").touch(), "--out", "{}/o"), "is a file"),
    Case(
        "out no bundle",
        edited(thesis, "--out", "{}/o"),
        "isn't a bundle",
    ),
    Case(
        "work a file",
        edited(lambda f: (f / "w").touch(), "--work", "{}/w"),
        "w: File exists|can't|w",
    ),
    Case("work under /proc", edited(nothing, "--work", "/proc/w"), "/proc"),
    Case(
        "project that isn't there",
        lambda f: ["build", project(f), "--project", f / "no", "--out", f / "out"],
        "no such file",
    ),
]
