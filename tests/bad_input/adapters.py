"""Wrong adapters and bases, for `palm generate` and `palm export vllm`."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.bad_input.case import Case
from tests.support.fakes import live_bundle, tiny_base

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from safetensors.torch import load_file, save_file

Tensors = dict[str, Any]
Make = Callable[[Path], list[object]]
ASK = ("--prompt", "Hello?", "--weights", "safety=1", "--device", "cpu")


@cache
def good() -> Path:
    """A folder with a base and a bundle whose member `a` answers at safety 1."""
    root = Path(mkdtemp(prefix="palm-live-"))
    tiny_base(root / "base")
    live_bundle(root / "demo", root / "base")
    return root


def project(folder: Path) -> Path:
    """A copy of both, the bundle on the copied base and without recorded hashes."""
    root = Path(shutil.copytree(good(), folder / "p"))
    manifest = root / "demo" / "portfolio.json"
    raw = json.loads(manifest.read_text())
    raw["base"] = {"source": str(root / "base")}
    for candidate in raw["candidates"]:
        candidate.pop("adapter_sha256", None)
    manifest.write_text(json.dumps(raw))
    return root


def commands(edit: Callable[[Path], object], export: bool) -> Make:
    """`palm generate` or `palm export vllm` after an edit of the project."""

    def make(folder: Path) -> list[object]:
        root = project(folder)
        edit(root)
        if export:
            return ["export", "vllm", root / "demo", folder / "out"]
        return ["generate", root / "demo", *ASK]

    return make


def adding(edit: Callable[[Path], object]) -> Make:
    """`palm add` of the edited adapter to a copy that is as it was."""

    def make(folder: Path) -> list[object]:
        root = project(folder)
        edit(root)
        kept = folder / "kept"
        shutil.copytree(good() / "demo", kept)
        raw = json.loads((kept / "portfolio.json").read_text())
        raw["base"] = {"source": str(root / "base")}
        (kept / "portfolio.json").write_text(json.dumps(raw))
        adapter = root / "demo" / "adapters" / "a"
        out = ["--out", folder / "out", "--work", folder / "work"]
        return ["add", kept, "--name", "mine", "--adapter", adapter, *out]

    return make


def config(**changes: Any) -> Callable[[Path], object]:
    """Entries of the adapter's configuration replaced; None removes one."""

    def edit(root: Path) -> None:
        path = root / "demo" / "adapters" / "a" / "adapter_config.json"
        raw = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({k: v for k, v in raw.items() if v is not ...}))

    return edit


def config_text(content: str | bytes) -> Callable[[Path], object]:
    """The adapter's configuration replaced."""

    def edit(root: Path) -> None:
        path = root / "demo" / "adapters" / "a" / "adapter_config.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return edit


def weights(change: Callable[[Tensors], Tensors]) -> Callable[[Path], object]:
    """The adapter's tensors changed."""

    def edit(root: Path) -> None:
        path = root / "demo" / "adapters" / "a" / "adapter_model.safetensors"
        save_file({k: v.contiguous() for k, v in change(load_file(path)).items()}, path)

    return edit


def first(change: Callable[[Any], Any]) -> Callable[[Path], object]:
    """One tensor changed."""

    def all_of(tensors: Tensors) -> Tensors:
        name = sorted(tensors)[0]
        return tensors | {name: change(tensors[name])}

    return weights(all_of)


def both(*edits: Callable[[Path], object]) -> Callable[[Path], object]:
    """One edit after another."""

    def edit(root: Path) -> None:
        for each in edits:
            each(root)

    return edit


def raw_weights(content: bytes | Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """The bytes of the adapter's weights replaced."""

    def edit(root: Path) -> None:
        path = root / "demo" / "adapters" / "a" / "adapter_model.safetensors"
        path.write_bytes(content if isinstance(content, bytes) else content(path.read_bytes()))

    return edit


def gone(name: str, pickled: bool = False) -> Callable[[Path], object]:
    """A file of the adapter left out, or as a pickle in its place."""

    def edit(root: Path) -> None:
        path = root / "demo" / "adapters" / "a" / name
        path.unlink()
        if pickled:
            path.with_suffix(".bin").write_bytes(b"\x80\x04]")

    return edit


def base_file(name: str, content: str | bytes | None) -> Callable[[Path], object]:
    """A file of the base replaced; None: left out."""

    def edit(root: Path) -> None:
        path = root / "base" / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return edit


def base_config(**changes: Any) -> Callable[[Path], object]:
    """Entries of the base's configuration replaced."""

    def edit(root: Path) -> None:
        path = root / "base" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def without_layer(root: Path) -> None:
    """The base's weights lack its second layer."""
    from safetensors.torch import load_file, save_file

    path = root / "base" / "model.safetensors"
    kept = {k: v for k, v in load_file(path).items() if "layers.1." not in k}
    save_file(kept, path, {"format": "pt"})


def part_of(root: Path) -> None:
    """The base's weights are called the first of two parts, and there is no other, nor an index."""
    path = root / "base" / "model.safetensors"
    path.rename(path.with_name("model-00001-of-00002.safetensors"))


def endless(root: Path) -> None:
    """No file of the base says what ends an answer."""
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        path = root / "base" / name
        if path.is_file():
            said = json.loads(path.read_text())
            path.write_text(json.dumps({k: v for k, v in said.items() if not k.startswith("eos")}))


def template(text: str) -> Callable[[Path], object]:
    """The base's chat template replaced."""

    def edit(root: Path) -> None:
        (root / "base" / "chat_template.jinja").write_text(text)

    return edit


def source(value: str) -> Callable[[Path], object]:
    """Another base named in the manifest."""

    def edit(root: Path) -> None:
        path = root / "demo" / "portfolio.json"
        raw = json.loads(path.read_text())
        raw["base"] = {"source": value}
        path.write_text(json.dumps(raw))

    return edit


def prefix(name: str) -> Callable[[Tensors], Tensors]:
    """All tensors named after another layer."""
    return lambda tensors: {k.replace("model.layers.0", name): v for k, v in tensors.items()}


NAN = float("nan")
INF = float("inf")
LINK = "elsewhere"
# What is wrong with an adapter: in words, how it is made so, and what is said of it.
ADAPTERS: list[tuple[str, Callable[[Path], object], str]] = [
    ("a pickle", gone("adapter_model.safetensors", True), "adapter_model.safetensors is missing"),
    ("no weights", gone("adapter_model.safetensors"), "adapter_model.safetensors is missing"),
    ("no configuration", gone("adapter_config.json"), "adapter_config.json is missing"),
    ("configuration empty", config_text(""), "not valid JSON"),
    ("configuration a list", config_text("[]"), "not a configuration"),
    ("configuration nested", config_text("[" * 100_000), "nested"),
    ("configuration with a huge number", config_text('{"r": ' + "9" * 5000 + "}"), "digits"),
    ("configuration in latin-1", config_text('{"x": "é"}'.encode("latin-1")), "not valid JSON"),
    ("r missing", config(r=...), "r or lora_alpha"),
    ("r a word", config(r="x"), "r or lora_alpha"),
    ("r null", config(r=None), "r or lora_alpha"),
    ("r -1", config(r=-1), "rank"),
    ("r 999", config(r=999), "says rank 999"),
    ("rank_pattern a list", config(rank_pattern=["q"]), "r or lora_alpha"),
    ("rank_pattern of a word", config(rank_pattern={"q_proj": "x"}), "r or lora_alpha"),
    ("rank_pattern that is code", config(rank_pattern={"(a+)+$": 3}), "no plain name"),
    ("lora_alpha missing", config(lora_alpha=...), "lora_alpha"),
    ("lora_alpha null", config(lora_alpha=None), "lora_alpha"),
    ("lora_alpha NaN", config(lora_alpha=NAN), "not valid JSON"),
    ("lora_alpha infinite", config(lora_alpha=INF), "not valid JSON"),
    ("lora_alpha 1e308", config(lora_alpha=1e308), "lora_alpha"),
    ("r 1e400", config_text('{"peft_type": "LORA", "r": 1e400, "lora_alpha": 2}'), "JSON|r or"),
    ("rank_pattern of 5,000", config(rank_pattern={"q_proj": 5000}), "rank"),
    ("LoftQ", config(init_lora_weights="loftq"), "loftq"),
    ("LoRA-GA", config(init_lora_weights="lora_ga"), "lora_ga"),
    ("QALoRA", config(use_qalora=True), "use_qalora"),
    ("BD-LoRA", config(use_bdlora=True), "use_bdlora"),
    ("biases of the LoRA", config(lora_bias=True), "lora_bias"),
    ("lora_alpha 0", config(lora_alpha=0), "lora_alpha"),
    ("lora_alpha -1", config(lora_alpha=-1), "lora_alpha"),
    ("alpha_pattern that is code", config(alpha_pattern={"(a+)+$": 3}), "no plain name"),
    ("alpha_pattern a list", config(alpha_pattern=["x"]), "lora_alpha"),
    ("IA3", config(peft_type="IA3"), "IA3"),
    ("no type", config(peft_type=...), "peft_type"),
    ("DoRA", config(use_dora=True), "use_dora"),
    ("DoRA of no numbers", both(config(use_dora=True), first(lambda t: t * NAN)), "finite"),
    ("aLoRA", config(alora_invocation_tokens=[1]), "alora"),
    ("PiSSA", config(init_lora_weights="pissa"), "pissa"),
    ("trained biases", config(bias="all"), "bias all"),
    ("modules_to_save", config(modules_to_save=["lm_head"]), "modules_to_save"),
    ("replicated layers", config(layer_replication=[[0, 1]]), "layer_replication"),
    ("weights a pickle", raw_weights(b"\x80\x04]" * 50), "can't be read"),
    ("weights empty", raw_weights(b""), "can't be read"),
    ("weights cut", raw_weights(lambda b: b[:-100]), "can't be read"),
    ("weights with a header of 2^63", raw_weights(b"\xff" * 8 + b"{}"), "can't be read"),
    (
        "weights with a nested header",
        raw_weights(lambda _: struct.pack("<Q", 200_000) + b"[" * 200_000),
        "can't be read",
    ),
    (
        "60,000 tensors",
        weights(lambda ts: ts | {f"more.{i}": torch.zeros(1) for i in range(60_000)}),
        "tensors",
    ),
    ("weights noise", raw_weights(bytes(range(256)) * 20), "can't be read"),
    ("NaN", first(lambda t: t * NAN), "finite"),
    ("infinite", first(lambda t: t * INF), "finite"),
    ("whole numbers", first(lambda t: t.to(torch.int64)), "finite numbers"),
    ("booleans", first(lambda t: t > 0), "finite numbers"),
    ("complex numbers", first(lambda t: t.to(torch.complex64)), "finite numbers"),
    ("one dimension", first(lambda t: t.flatten()), "1 dimensions"),
    ("no dimension", first(lambda t: t.sum()), "0 dimensions"),
    ("three dimensions", first(lambda t: t[None]), "3 dimensions"),
    (
        "rank 0",
        weights(lambda ts: {k: v[:0] if "lora_A" in k else v[:, :0] for k, v in ts.items()}),
        "fit each other",
    ),
    ("A and B of other ranks", first(lambda t: torch.cat([t, t])), "fit each other"),
    (
        "A alone",
        weights(lambda ts: {k: v for k, v in ts.items() if "lora_A" in k}),
        "fit each other",
    ),
    (
        "a tensor too many",
        weights(lambda ts: ts | {"base_model.model.lm_head.weight": torch.ones(2, 2)}),
        "isn't part of a plain LoRA",
    ),
    (
        "an embedding's",
        weights(
            lambda ts: (
                ts | {"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(2, 2)}
            )
        ),
        "isn't part of a plain LoRA",
    ),
]
# What fits no layer of the base is found where that is loaded.
FITS: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "for a wider base",
        weights(
            lambda ts: {
                k: torch.cat([v, v], 1) if "lora_A" in k else torch.cat([v, v])
                for k, v in ts.items()
            }
        ),
        "trained on another model",
    ),
    ("for layer 7", weights(prefix("model.layers.7")), "doesn't have"),
    ("for __class__", weights(prefix("__class__")), "doesn't have|only linear"),
    (
        "for a norm",
        weights(
            lambda ts: {k.replace("self_attn.q_proj", "input_layernorm"): v for k, v in ts.items()}
        ),
        "only linear",
    ),
]
# Not what export asks for, where vLLM fetches the base itself.
FETCHED = ("a hub id that isn't there",)
BASES: list[tuple[str, Callable[[Path], object], str]] = [
    ("no config.json", base_file("config.json", None), "config.json missing"),
    ("config.json is noise", base_file("config.json", b"\xff\xfe\x00"), "config.json"),
    ("config.json a list", base_file("config.json", "[]"), "config|can't be"),
    ("config.json nested", base_file("config.json", "[" * 100_000), "nested"),
    ("config.json of no model", base_file("config.json", "{}"), "config|can't be"),
    ("an unknown model", base_config(model_type="magic"), "magic|can't be loaded"),
    (
        "a model with code of its own",
        base_config(
            model_type="magic",
            auto_map={"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"},
        ),
        "can't be loaded|custom code|trust",
    ),
    (
        "quantised weights",
        base_config(quantization_config={"quant_method": "gptq"}),
        "quantised .gptq",
    ),
    ("quantised nobody knows how", base_config(quantization_config=7), "weights are quantised"),
    ("another shape", base_config(hidden_size=64), "can't be loaded|size|another"),
    ("a length that is a word", base_config(max_position_embeddings="x"), "max_position|can't be"),
    ("no weights", base_file("model.safetensors", None), "safetensors"),
    ("weights cut", base_file("model.safetensors", b"\x10" + bytes(30)), "safetensors|can't be"),
    ("weights without a layer", without_layer, "lack .* tensors"),
    ("weights in part", part_of, "index.json.*model-00002-of-00002"),
    ("weights empty", base_file("model.safetensors", b""), "safetensors|can't be"),
    (
        "an index out of the folder",
        base_file(
            "model.safetensors.index.json", '{"weight_map": {"x": "../../evil.safetensors"}}'
        ),
        "index.json",
    ),
    (
        "an index of numbers",
        base_file("model.safetensors.index.json", '{"weight_map": {"x": 3}}'),
        "index.json",
    ),
    ("an index of nothing", base_file("model.safetensors.index.json", "[]"), "index.json"),
    ("an index nested", base_file("model.safetensors.index.json", "[" * 100_000), "index.json"),
    ("no tokenizer", base_file("tokenizer.json", None), "tokenizer"),
    ("a tokenizer of noise", base_file("tokenizer.json", "{"), "tokenizer"),
    (
        "a template that attacks",
        template("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        "template",
    ),
    (
        "a template without an end",
        template("{% for i in range(999999999999) %}x{% endfor %}"),
        "template",
    ),
    (
        "a template with loops in loops",
        template("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"),
        "takes more than 2 seconds",
    ),
    *(
        (f"a template that makes {what}", template(text), "chat template fails")
        for what, text in (
            ("a wide text", "{{ 'x'|center(1000000000) }}"),
            ("a wide text by a method", "{{ 'x'.zfill(2000000000) }}"),
            ("a long text of long texts", "{{ 'x'*1000000*1000 }}"),
            ("a wide number", "{{ '%02000000000d' % 1 }}"),
            ("a wide number by a method", "{{ '{:2000000000}'.format(1) }}"),
            ("powers", "{{ 10**10**10 }}"),
            (
                "twice as much each time",
                "{% set n = namespace(s='x') %}{% for i in range(40) %}"
                "{% set n.s = n.s ~ n.s %}{% endfor %}",
            ),
            (
                "a text in each of its letters",
                "{% set n = namespace(s='xxxxxxxx') %}{% for i in range(9) %}"
                "{% set n.s = n.s|replace('x', n.s) %}{% endfor %}",
            ),
            ("much of a little", "{% for i in range(99999) %}{{ 'x'*99999 }}{% endfor %}"),
        )
    ),
    ("a template that isn't one", template("{% if %}"), "template"),
    ("a template that refuses", template("{{ raise_exception('no') }}"), "template"),
    ("no end of an answer", endless, "no token that ends an answer"),
    ("a hub id that isn't there", source("nobody/nothing"), "nobody/nothing"),
    ("no source", source(""), "base.source"),
    ("a source that is a path", source("../../etc/passwd"), "passwd"),
]
OPTIONS: list[tuple[str, tuple[object, ...], str]] = [
    ("100,000 threads", ("--threads", 100_000), "100,000 threads"),
    ("a device that isn't there", ("--device", "toaster"), "toaster"),
    ("a number format that isn't one", ("--dtype", "float8"), "float8"),
    ("temperature nan", ("--temperature", "nan"), "temperature"),
    ("a billion tokens", ("--max-new-tokens", 10**9), "max_new_tokens|tokens"),
    ("seed -1", ("--seed", -1), "or equal"),
    ("half a character", ("--prompt", "x\udc80"), "half a character"),
]


def asked(more: tuple[object, ...]) -> Make:
    """`palm generate` with odd options."""
    return lambda folder: ["generate", project(folder) / "demo", *ASK, *more]


CASES = [
    *(
        Case(f"{name} (generate)", commands(edit, False), message)
        for name, edit, message in ADAPTERS
    ),
    *(Case(f"{name} (export)", commands(edit, True), message) for name, edit, message in ADAPTERS),
    *(Case(f"{name} (generate)", commands(edit, False), message) for name, edit, message in FITS),
    *(Case(f"{name} (export)", commands(edit, True), message) for name, edit, message in FITS),
    *(Case(f"{name} (add)", adding(edit), message) for name, edit, message in FITS),
    Case(
        "add: a name out of the folder",
        lambda folder: [
            *("add", project(folder) / "demo", "--name", "../../demo"),
            *("--soup", "a=1", "--work", folder / "work"),
        ],
        "a policy's name has",
    ),
    *(Case(f"base: {name}", commands(edit, False), message) for name, edit, message in BASES),
    *(
        Case(f"base: {name} (export)", commands(edit, True), message)
        for name, edit, message in BASES
        if name not in FETCHED
    ),
    *(Case(name, asked(more), message) for name, more, message in OPTIONS),
]
