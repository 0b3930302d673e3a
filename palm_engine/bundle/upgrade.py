"""Turns the content of a version 1 `portfolio.json` into version 2's."""

from __future__ import annotations

from typing import Any


def upgrade(raw: dict[str, Any]) -> dict[str, Any]:
    """Version 2's form of version 1's `raw`, which isn't changed. What is malformed stays so.

    Reward vectors were called `values`, the KL cost `cost`, and an adapter's hash was over its
    weights alone.
    """
    new = {**raw, "format_version": 2}
    for field in ("candidates", "outside"):
        entries = raw.get(field)
        if isinstance(entries, list):
            new[field] = [_candidate(entry) for entry in entries]
    if raw.get("sampling") == {}:
        del new["sampling"]
    return new


def _candidate(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    new = _renamed(
        entry,
        {"values": "rewards", "cost": "kl_cost", "adapter_sha256": "adapter_weights_sha256"},
    )
    if isinstance(new.get("planned"), dict):
        new["planned"] = _renamed(new["planned"], {"values": "rewards"})
    return new


def _renamed(entry: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in entry.items()}
