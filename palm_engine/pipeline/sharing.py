"""`palm push` and `palm pull`: a bundle on the Hugging Face hub, with a card from its certificate.

Only a bundle's own files travel: its manifest, tables and adapters in safetensors, never code or
pickle. What is pulled is validated like any bundle before it takes its place.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from palm_engine._files import whole_folder
from palm_engine._types import Notice
from palm_engine.analysis.account import plain
from palm_engine.analysis.guarantee import statements
from palm_engine.bundle.folder import TABLES, Bundle, read_bundle
from palm_engine.bundle.schema import Candidate
from palm_engine.bundle.tables import require_no_links
from palm_engine.bundle.writing import check_previous, check_target, previous
from palm_engine.errors import BundleError, DependencyError, InvalidInputError
from palm_engine.geometry.confidence import Bound
from palm_engine.geometry.simplex import weights_text
from palm_engine.lm.base_model.hub import endpoint, is_hub_id

FILES = (
    "portfolio.json",
    *TABLES,
    "adapters/*/adapter_config.json",
    "adapters/*/adapter_model.safetensors",
)
CARD = "README.md"


def push(
    bundle: Bundle,
    repo: str,
    private: bool = True,
    message: str = "",
    report: Notice = lambda _: None,
) -> str:
    """Upload a bundle as a model repository.

    Args:
        bundle: to upload; its folder must hold nothing that it can't name.
        repo: `owner/name`; made where it isn't there.
        private: whether a repository that is made is private.
        message: of the commit.
        report: gets sentences on what is done.

    Returns:
        The address of the repository.

    Raises:
        InvalidInputError: `repo` isn't `owner/name`.
        BundleError: the hub refuses, or can't be reached.
        DependencyError: the extra 'lm' isn't installed.
    """
    _require_repo(repo)
    api, errors = _hub()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "bundle"
        _copy(bundle.folder, folder, links=False)
        _read_whole(bundle)
        (folder / CARD).write_text(model_card(bundle, repo), encoding="utf-8")
        report(f"Uploading {bundle.manifest.name} to {endpoint()}/{repo}")
        try:
            api.create_repo(repo, private=private, exist_ok=True, repo_type="model")
            api.upload_folder(
                repo_id=repo,
                folder_path=folder,
                commit_message=message or f"Upload {bundle.manifest.name} with palm push",
            )
        except errors as error:
            raise BundleError(
                f"{repo}: could not be pushed to {endpoint()} ({_first_line(error)}); log in with"
                " `hf auth login`, or set HF_TOKEN"
            ) from error
    return f"{endpoint()}/{repo}"


def pull(repo: str, out: Path, report: Notice = lambda _: None, replace: bool = False) -> Bundle:
    """Download a bundle; its folder is written whole, or not at all.

    Args:
        repo: `owner/name`.
        out: the folder to write.
        report: gets sentences on what is done.
        replace: take the place of a bundle that holds more, and keep that one beside it.

    Raises:
        InvalidInputError: `repo` isn't `owner/name`.
        BundleError: it isn't there, is no valid bundle, or would replace another.
        DependencyError: the extra 'lm' isn't installed.
    """
    _require_repo(repo)
    check_target(out, replace=replace)
    if replace:
        check_previous(out)
    api, errors = _hub()
    report(f"Fetching {repo} from {endpoint()}")
    try:
        found = Path(api.snapshot_download(repo, allow_patterns=list(FILES)))
    except errors as error:
        raise BundleError(
            f"{repo}: could not be pulled from {endpoint()} ({_first_line(error)})"
        ) from error
    if not (found / "portfolio.json").is_file():
        raise BundleError(f"{repo}: holds no portfolio.json, so it is no bundle")
    with whole_folder(out, previous(out) if replace else None) as part:
        _copy(found, part, links=True)  # the cache of the hub consists of links
        _read_whole(read_bundle(part))
    return read_bundle(out)


def _read_whole(bundle: Bundle) -> None:
    """Read tables and adapters too.

    Raises:
        PalmError: something can't be read.
    """
    from palm_engine.lm.adapters.files import NotPlainLoraError, read_adapter

    bundle.read_tables()
    for candidate in (*bundle.manifest.candidates, *bundle.manifest.outside):
        if candidate.adapter is not None:
            with suppress(NotPlainLoraError):
                read_adapter(bundle.adapter_folder(candidate.policy))


def model_card(bundle: Bundle, repo: str = "") -> str:
    """A model card in Markdown, written from the certificate.

    Args:
        bundle: to describe.
        repo: where it will lie, for the commands; empty for none.
    """
    manifest = bundle.manifest
    base = manifest.base.source if manifest.base is not None else ""
    has_adapters = any(c.adapter for c in manifest.candidates)
    lines = ["---"]
    lines += ["library_name: peft"] if has_adapters else []
    lines += [f"tags: [palm-atlas, portfolio{', lora' if has_adapters else ''}]"]
    lines += [f"base_model: {base}"] if is_hub_id(base) else []
    lines += ["---", "", f"# {plain(manifest.title or manifest.name)}", ""]
    lines += [
        f"A portfolio of {len(manifest.members)} policies out of {len(manifest.candidates)}"
        f" candidates, for every preference over {', '.join(bundle.traits)}. Made with PALM Atlas.",
        "",
    ]
    rows = tuple(bundle.members)
    for statement in statements(bundle, rows, _bound(bundle)) if rows else []:
        lines += [f"**{statement.heading}.** {plain(statement.text)}", ""]
    lines += ["| member | kind | stands for | " + " | ".join(bundle.traits) + " |"]
    lines += ["| --- | --- | --- |" + " --- |" * len(bundle.traits)]
    for member in manifest.members:
        candidate = bundle.candidate(member.policy)
        rewards = " | ".join(f"{candidate.rewards[t]:.3f}" for t in bundle.traits)
        stands = weights_text(member.weights)
        lines.append(f"| {_name(candidate)} | {candidate.kind} | {stands} | {rewards} |")
    lines += ["", "## How traits are measured", ""]
    for trait in manifest.traits:
        lines.append(f"- {trait.name}: {plain(trait.reward)}; {plain(trait.normalisation)}.")
    if base:
        note = f" {plain(manifest.base.note)}." if manifest.base and manifest.base.note else ""
        lines += ["", f"Base model: {plain(base)}.{note}"]
    where = f"portfolios/{manifest.name}"
    lines += ["", "## Use", "", "```", f"palm pull {repo or 'OWNER/NAME'} --out {where}"]
    lines += ["palm app portfolios", "```", ""]
    return "\n".join(lines)


def _bound(bundle: Bundle) -> Bound | None:
    certificate = bundle.manifest.certificate
    return None if certificate is None else certificate.additive


def _name(candidate: Candidate) -> str:
    return plain(candidate.label)


def _copy(source: Path, target: Path, links: bool) -> None:
    """Copy the files of a bundle; `links` says whether links are followed, or refused."""
    for pattern in FILES:
        for file in sorted(source.glob(pattern)):
            if not links:
                require_no_links(source, file)
            inside = target / file.relative_to(source)
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, inside)


def _require_repo(repo: str) -> None:
    if not is_hub_id(repo):
        raise InvalidInputError(f"{repo!r}: a repository is called owner/name")


def _hub() -> tuple[Any, tuple[type[Exception], ...]]:
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )
    except ImportError as error:
        raise DependencyError("sharing needs the extra 'lm': pip install -e '.[lm]'") from error
    failures = (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError)
    return HfApi(endpoint=endpoint()), failures


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
