"""`make bench`: runs every claim and writes benchmarks/RESULTS.md."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import mathematics, oracles, page, selection
from palm_engine.pipeline.assemble import package_versions

TARGET = Path(__file__).resolve().parent / "RESULTS.md"


def main() -> None:
    """Run and write; progress is printed as it goes."""
    rows: list[tuple[str, str, str]] = []
    for name, module in (("mathematics", mathematics), ("selection", selection), ("oracles", oracles), ("page", page)):
        print(f"{name} ...", flush=True)
        fresh = module.rows()
        rows += fresh
        for row in fresh:
            print("  " + " | ".join(row), flush=True)
    versions = ", ".join(f"{k} {v}" for k, v in package_versions().items())
    lines = [
        "# Benchmark results",
        "",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {platform.machine()}, {os.cpu_count()} cores, "
        f"{platform.system()}. {versions}. A shared machine: believe ratios more than absolutes.",
        "",
        "| what | result | reference, in the same run |",
        "| --- | --- | --- |",
        *(f"| {what} | {result} | {reference} |" for what, result, reference in rows),
    ]
    part = TARGET.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.replace(TARGET)
    print(f"Wrote {TARGET}")


if __name__ == "__main__":
    main()
