"""A portfolio as a folder to serve with vLLM.

Base, adapters, licences, start command and routing file.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_engine._files import whole_folder
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import BaseInfo
from palm_engine.errors import BundleError, ModelSourceError
from palm_engine.lm.base_model.places import shape_of
from palm_engine.lm.settings import TemplateSettings
from palm_engine.serving.router import Router

# What vLLM takes for --max-lora-rank.
# Kinds of base that vLLM (0.32) runs no LoRA adapters on.
WITHOUT_LORA = ("gpt2",)
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
ROUTING_FILE = "routing.json"
START_FILE = "start.sh"
TEMPLATE_FILE = "chat_template.jinja"
BASE_NAME = "base"
MOST_TOKENS = 2048
SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".jinja")

_START = """#!/bin/sh
# Serves this portfolio on port 8000, one model name per member; further options are passed on.
cd "$(dirname "$0")" || exit 1
exec {command} "$@"
"""


@dataclass(frozen=True)
class VllmExport:
    """What was written.

    Attributes:
        folder: where.
        command: that serves it, as a list of words.
    """

    folder: Path
    command: tuple[str, ...]

    @property
    def shell(self) -> str:
        """The command, shell-quoted."""
        return shlex.join(self.command)


def export_vllm(
    bundle: Bundle,
    out: Path,
    report: Callable[[str], None] = lambda text: None,
    download: bool = False,
) -> VllmExport:
    """Write the portfolio's members for vLLM to `out`, which must not exist or be empty.

    Raises PalmError.

    The base is copied where it is a folder (the demo's converted one); a Hugging Face id stays an
    id.

    Raises:
        BundleError: `out` holds something already.
        ModelSourceError: the bundle names no base, or another base is on this machine.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out}: is there already; choose a new folder")
    if bundle.manifest.base is None:
        raise ModelSourceError(
            f"{bundle.folder}: names no base model, so there is nothing to serve"
        )
    from palm_engine.lm.base_model.load import empty_model

    router = Router.of(bundle, BASE_NAME)
    candidates = [bundle.manifest.candidates[i] for i in bundle.members]
    mixed = [c.policy for c in candidates if c.mixture]
    if mixed:
        raise BundleError(
            f"{bundle.folder}: {mixed[0]!r} mixes adapters at every token, which vLLM can't serve;"
            " choose members without mixtures (palm select)"
        )
    if elsewhere := [c.policy for c in candidates if c.kind == "remote"]:
        raise BundleError(
            f"{bundle.folder}: {elsewhere[0]!r} answers elsewhere, so it can't be exported; choose"
            " members that have adapters or prompts (palm select)"
        )
    adapters = [c.policy for c in candidates if c.adapter is not None]
    base = bundle.manifest.base
    with whole_folder(out) as part:
        model = _base(base, bundle.manifest.template, part, report, download)
        if adapters and (part / BASE_NAME).is_dir():
            _require_adaptable(part / BASE_NAME)
        rank = 0
        shape = empty_model(part / BASE_NAME) if adapters and model == BASE_NAME else None
        for policy in adapters:
            report(f"Copying the adapter {policy}")
            rank = max(rank, _adapter(bundle, policy, part / "adapters" / policy, shape))
        command = _command(model, adapters, rank, _most_tokens(part / BASE_NAME))
        if bundle.manifest.template is not None:
            from palm_engine.lm.base_model.load import load_tokenizer
            from palm_engine.lm.base_model.source import resolve_base

            folder = resolve_base(base.source, report, download)
            template = str(load_tokenizer(folder, bundle.manifest.template).chat_template)
            (part / TEMPLATE_FILE).write_text(template, encoding="utf-8")
            command += ("--chat-template", TEMPLATE_FILE)
        content = router.as_json()
        if bundle.manifest.sampling is not None:
            # What the figures were measured at: an application that draws otherwise has no
            # certificate.
            content["sampling"] = bundle.manifest.sampling.model_dump()
        routing = json.dumps(content, indent=1) + "\n"
        (part / ROUTING_FILE).write_text(routing, encoding="utf-8")
        start = part / START_FILE
        start.write_text(_START.format(command=shlex.join(command)), encoding="utf-8")
        start.chmod(0o755)
        _licences(bundle, part / "licences")
    return VllmExport(out, command)


def _require_adaptable(base: Path) -> None:
    """Check that vLLM runs adapters on a base of this kind.

    Raises:
        BundleError: it doesn't, and says so no earlier than its start.
    """
    kind = shape_of(base).get("model_type")
    if kind in WITHOUT_LORA:
        raise BundleError(
            f"vLLM runs no adapters on a base of the kind {kind!r}, so these members can't be"
            " exported; palm serve BUNDLE --local serves them from this machine"
        )


def _most_tokens(base: Path) -> int:
    """Tokens of prompt and answer together that the server sets memory aside for.

    MOST_TOKENS, or what the base can.

    Raises:
        ModelSourceError: the base's configuration can't be read.
    """
    known = shape_of(base).get("max_position_embeddings") if base.is_dir() else None
    return min(known or MOST_TOKENS, MOST_TOKENS)


def _command(model: str, adapters: list[str], rank: int, tokens: int) -> tuple[str, ...]:
    words = [
        "python",
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        model,
        "--served-model-name",
        BASE_NAME,
    ]
    words += ["--host", "127.0.0.1", "--max-model-len", str(tokens)]
    if adapters:
        fitting = [r for r in RANKS if r >= rank]
        if not fitting:
            raise ModelSourceError(
                f"an adapter of rank {rank} is too large for vLLM, which takes up to {RANKS[-1]}"
            )
        words += [
            "--enable-lora",
            "--max-loras",
            str(len(adapters)),
            "--max-lora-rank",
            str(fitting[0]),
        ]
        words += ["--lora-modules", *(f"{policy}=adapters/{policy}" for policy in adapters)]
    return tuple(words)


def _base(
    base: BaseInfo,
    template: TemplateSettings | None,
    part: Path,
    report: Callable[[str], None],
    download: bool,
) -> str:
    from palm_engine.lm.base_model import hub
    from palm_engine.lm.base_model.load import check_base
    from palm_engine.lm.base_model.places import fingerprint
    from palm_engine.lm.base_model.source import resolve_base

    source = base.source
    wanted = base.fingerprint
    if hub.is_hub_id(source) and not Path(source).expanduser().is_dir():
        return source  # vLLM fetches it itself
    folder = resolve_base(source, report, download)
    if wanted and fingerprint(folder) != wanted:
        raise ModelSourceError(
            f"{folder}: isn't the base that this bundle's adapters were trained on (fingerprint"
            f" {wanted[:12]}...); restore it, or fetch it anew with palm base"
        )
    check_base(folder, template)
    report("Copying the base model")
    target = part / BASE_NAME
    target.mkdir()
    for file in sorted(folder.iterdir()):
        is_notice = file.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE", "README"))
        if (
            (file.suffix in SUFFIXES or is_notice)
            and file.name != "fingerprint.json"
            and file.is_file()
        ):
            shutil.copyfile(file, target / file.name)
    return BASE_NAME


def _adapter(bundle: Bundle, policy: str, target: Path, shape: Any) -> int:
    """Copy an adapter, checked against the bundle and the base where that is here; its rank."""
    from palm_engine.lm.adapters.files import (
        CONFIG_FILE,
        WEIGHTS_FILE,
        configured_rank,
        read_adapter,
        require_evaluated,
    )
    from palm_engine.lm.adapters.stacked_linear import fitting_layer

    folder = bundle.adapter_folder(policy)
    recorded = bundle.candidate(policy)
    require_evaluated(folder, recorded.adapter_sha256, recorded.adapter_weights_sha256)
    # vLLM takes plain LoRA only, but says so no earlier than its start.
    weights = read_adapter(folder)
    for path, (a, b, _) in weights.layers.items() if shape is not None else ():
        fitting_layer(shape, path, a, b)
    target.mkdir(parents=True)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        shutil.copyfile(folder / name, target / name)
    # vLLM looks at the configuration, also where no layer has its rank.
    return max(configured_rank(folder), *(int(a.shape[0]) for a, _, _ in weights.layers.values()))


def _licences(bundle: Bundle, target: Path) -> None:
    """Write this project's licence and notice, and what the bundle says of its base."""
    from importlib.metadata import distribution

    target.mkdir()
    project = Path(__file__).resolve().parents[2]
    for name in ("LICENSE", "NOTICE"):
        file = project / name
        if not file.is_file():
            packed = [f for f in distribution("palm-atlas").files or [] if f.name == name]
            file = Path(str(packed[0].locate())) if packed else file
        if file.is_file():
            shutil.copyfile(file, target / name)
    base = bundle.manifest.base
    assert base is not None
    (target / "BASE.txt").write_text(f"Base model: {base.source}\n{base.note}\n", encoding="utf-8")
