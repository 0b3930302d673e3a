"""Bundles are written whole, and never over something that the new one lacks."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import pandas as pd
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from palm_engine._files import check_writable, whole_folder, write_whole
from palm_engine.bundle.folder import MANIFEST_FILE, PREVIOUS, TABLES, Bundle, read_bundle
from palm_engine.bundle.manifest import Manifest
from palm_engine.bundle.tables import require_no_links
from palm_engine.bundle.validation import describe_validation_error
from palm_engine.errors import BundleError

# What a bundle may hold besides rewards, and what a newer one must hold too to take its place.
HOLDINGS = ("trained adapters", "recorded texts", "a certificate")
# What a bundle's folder is made of: all that writing one puts there again.
OWN = frozenset({MANIFEST_FILE, *TABLES, "adapters", "README.md"})


def check_target(folder: Path, keeps: Collection[str] = (), replace: bool = False) -> None:
    """Check that writing a bundle would delete nothing that the new one doesn't have.

    Args:
        folder: to write to.
        keeps: what the new bundle holds besides rewards: some of HOLDINGS.
        replace: a bundle that holds more may be replaced too; it is kept beside the new one.

    Raises:
        BundleError: the folder is something else than a bundle, or holds adapters, texts, a
            certificate or other files that the new one lacks.
        OSError: nothing can be written there.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise BundleError(f"{folder}: is a file or a link; choose a new folder, such as {folder}-2")
    check_writable(folder)
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MANIFEST_FILE).is_file():
        raise BundleError(
            f"{folder}: it is there already and isn't a bundle; choose a new folder, such as"
            f" {folder}/demo"
        )
    if replace:
        return
    lost = [what for what in HOLDINGS if what not in keeps and _holds(folder, what)]
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in OWN)
    if foreign:
        lost.append(f"other files ({', '.join(foreign[:3])}{', ...' if foreign[3:] else ''})")
    if lost:
        raise BundleError(
            f"{folder}: holds {', '.join(lost)}, which would be deleted; choose another folder"
            f" (--out), or move it away. Commands with --replace keep it as {folder.name}{PREVIOUS}"
        )


def check_file(path: Path) -> None:
    """Check that a file that is to be written lies in no bundle.

    Args:
        path: of the file.

    Raises:
        BundleError: it does: parts would no longer fit each other, or a foreign file would bar
            commands that write the bundle anew.
    """
    inside = any((p / MANIFEST_FILE).is_file() for p in path.absolute().parents)
    if inside or path.name == MANIFEST_FILE:
        raise BundleError(f"{path}: lies in a bundle, which holds its own files only; name another")


def _holds(folder: Path, what: str) -> bool:
    if what == "trained adapters":
        return any((folder / "adapters").glob("*/*.safetensors"))
    if what == "a certificate":
        try:
            return read_bundle(folder).manifest.certificate is not None
        except BundleError:
            # It can't be read, so nobody can say that nothing in it matters.
            return True
    return any((folder / name).is_file() for name in TABLES)


def _loses(folder: Path, manifest: Manifest) -> bool:
    """Whether what lies in a folder says something that a new manifest doesn't."""
    if not (folder / MANIFEST_FILE).exists():
        return False
    try:
        old = read_bundle(folder).manifest
    except BundleError:
        return True
    gone = {c.policy for c in old.candidates} - {c.policy for c in manifest.candidates}
    # An audit and an interpolation can be measured again; readers' work can't.
    return bool(gone) or (old.reading is not None and manifest.reading is None)


def write_bundle(
    folder: Path,
    manifest: Manifest,
    tables: dict[str, pd.DataFrame],
    adapters: dict[str, Path] | None = None,
    replace: bool = False,
) -> Bundle:
    """Write a bundle whole: into a temporary folder beside it, read back, then put in its place.

    One that has candidates or a reading that the new one lacks is kept beside it.

    Args:
        folder: to write to.
        manifest: the content of portfolio.json.
        tables: `prompts`, `pool`, `samples`, as far as there are some.
        adapters: folders to copy, by policy.
        replace: take the place of a bundle that holds more, and keep that one beside it.

    Raises:
        BundleError: it would replace a bundle that holds more (see `check_target`), or something
            that is no bundle lies where that one is kept.
    """
    keeps = [
        what
        for what, there in zip(
            HOLDINGS, (bool(adapters), bool(tables), manifest.certificate is not None), strict=True
        )
        if there
    ]
    check_target(folder, keeps, replace)
    keep = replace or _loses(folder, manifest)
    if keep:
        check_previous(folder)
    text = _as_text(manifest)
    with whole_folder(folder, previous(folder) if keep else None) as part:
        for name, frame in tables.items():
            frame.to_parquet(part / f"{name}.parquet", index=False, compression="zstd")
        for policy, source in (adapters or {}).items():
            target = part / "adapters" / policy
            target.mkdir(parents=True)
            for file in ("adapter_config.json", "adapter_model.safetensors"):
                require_no_links(source.parent, source / file)
                shutil.copyfile(source / file, target / file)
        (part / MANIFEST_FILE).write_text(text, encoding="utf-8")
        read_bundle(part).read_tables()
    return read_bundle(folder)


def previous(folder: Path) -> Path:
    """Where a bundle is kept that another took the place of, until the next does.

    Args:
        folder: of the bundle.
    """
    return folder.with_name(folder.name + PREVIOUS)


def check_previous(folder: Path) -> None:
    """Check that nothing but a bundle lies where the one in `folder` is kept when it is replaced.

    Raises:
        BundleError: something else does.
    """
    kept = previous(folder)
    if kept.exists() and not (kept / MANIFEST_FILE).is_file():
        raise BundleError(
            f"{kept}: is no bundle, and the one that is replaced is kept there; move it away"
        )


def check_own(folder: Path) -> None:
    """Check that a bundle that is to be changed isn't reached by a link.

    Raises:
        BundleError: it is.
    """
    if folder.is_symlink():
        raise BundleError(f"{folder}: is a link; name the bundle's own folder")


def rewrite_manifest(bundle: Bundle, manifest: Manifest) -> Bundle:
    """Put another manifest in the place of a bundle's own; nothing else in the folder changes.

    Args:
        bundle: the one to change.
        manifest: the new content of its portfolio.json.

    Raises:
        BundleError: the bundle was written anew since it was read, its folder is a link, or the new
            content wouldn't be read again; the old one stays.
        OSError: the file can't be written; the old one stays.
    """
    check_own(bundle.folder)
    if read_bundle(bundle.folder).manifest != bundle.manifest:
        raise BundleError(
            f"{bundle.folder}: was written anew meanwhile, so nothing is put into it; run this"
            " again on what is there now"
        )
    try:
        Manifest.model_validate(manifest.model_dump())
    except ValidationError as error:
        raise BundleError(
            f"{bundle.folder}: {describe_validation_error(error)}; nothing was written"
        ) from error
    write_whole(bundle.folder / MANIFEST_FILE, _as_text(manifest))
    return read_bundle(bundle.folder)


def _as_text(manifest: Manifest) -> str:
    try:
        return manifest.model_dump_json(indent=1, exclude_none=True) + "\n"
    except PydanticSerializationError as error:
        raise BundleError(
            f"{manifest.name}: a title, a name or the path of a file is no UTF-8, which a bundle is"
            " written in; rename the file, or give another --title"
        ) from error
