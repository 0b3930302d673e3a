"""`make bench`: one script per claim, into benchmarks/RESULTS.md.

`python -m benchmarks.run NAME ...` runs some of them.

A script is a module here with `rows()`; what it draws goes to `plots/`. Where some are run, the
rows of the others stay as they were measured before (kept in results.json), with their date.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from palm_engine._files import write_whole
from palm_engine.pipeline.assemble import package_versions

HERE = Path(__file__).resolve().parent
TARGET = HERE / "RESULTS.md"
KEPT = HERE / "results.json"
SCRIPTS = {
    "exact_gap": "Exact gaps",
    "agreement": "Exact gaps",
    "gap_field": "Exact gaps",
    "bounded_region": "Exact gaps",
    "closed_form_oracle": "Exact gaps",
    "bootstrap": "Confidence",
    "bound_coverage": "Confidence",
    "bound_sharpness": "Confidence",
    "smallest_portfolio": "Selection",
    "best_of_every_size": "Selection",
    "many_candidates": "Selection",
    "hard_covers": "Selection",
    "public_fronts": "Selection on public fronts",
    "rivals": "Rivals at equal size",
    "oracle_calls": "Oracle calls",
    "linear_support": "Oracle calls",
    "few_calls_five_members": "Oracle calls",
    "generation": "Members live",
    "first_token": "Members live",
    "gateway": "Serving",
    "find_my_model": "Finding a member",
    "page": "Dashboard",
    "own_tables": "Dashboard",
}
PLOTS = {
    "public_fronts": ("public-fronts", "Worst gap by size on a public front"),
    "rivals": ("rivals", "Worst and expected gap of every method at equal size"),
    "oracle_calls": ("oracle-calls", "Certified gap by oracle calls"),
    "generation": ("generation-members", "Cost of a step by number of members"),
}


def measure(name: str) -> dict[str, object]:
    """Run one script; a package that isn't installed becomes a row that says so."""
    print(f"{name} ...", flush=True)
    try:
        rows = import_module(f"benchmarks.{name}").rows()
    except ImportError as error:
        rows = [
            (
                name.replace("_", " "),
                f"not run: {error.name} is not installed",
                "pip install -e '.[bench]'",
            )
        ]
    for row in rows:
        print("  " + " | ".join(row), flush=True)
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "rows": [list(row) for row in rows]}


def page(kept: dict[str, dict[str, object]]) -> str:
    """RESULTS.md from what was measured."""
    versions = ", ".join(f"{k} {v}" for k, v in package_versions().items())
    lines = [
        "# Benchmark results",
        "",
        (
            f"Written by `make bench`: {platform.machine()}, {os.cpu_count()} cores,"
            f" {platform.system()}. {versions}. A shared machine: believe ratios more than"
            " absolutes. Each row is a script of the same name here."
        ),
    ]
    for part in dict.fromkeys(SCRIPTS.values()):
        lines += [
            "",
            f"## {part}",
            "",
            "| what | result | reference, in the same run | script, measured on |",
            "| --- | --- | --- | --- |",
        ]
        names = [name for name, section in SCRIPTS.items() if section == part]
        for name in names:
            rows = kept.get(name, {}).get("rows", [])
            assert isinstance(rows, list)
            lines += [f"| {' | '.join(row)} | {name}, {kept[name]['date']} |" for row in rows]
        for name in names:
            if name in PLOTS and (HERE / "plots" / f"{PLOTS[name][0]}.svg").is_file():
                lines += ["", f"![{PLOTS[name][1]}](plots/{PLOTS[name][0]}.svg)"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the scripts that are named, or all; every result is kept as soon as it is there."""
    wanted = sys.argv[1:] or list(SCRIPTS)
    unknown = [name for name in wanted if name not in SCRIPTS]
    if unknown:
        raise SystemExit(f"no script {unknown[0]!r}; there are {', '.join(SCRIPTS)}")
    kept: dict[str, dict[str, object]] = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    for name in wanted:
        kept[name] = measure(name)
        write_whole(KEPT, json.dumps(kept, indent=1) + "\n")
        write_whole(TARGET, page(kept))
    print(f"Wrote {TARGET}")


if __name__ == "__main__":
    main()
