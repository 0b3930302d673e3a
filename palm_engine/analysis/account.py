"""An account of a bundle in Markdown: what it is made from, what came out, what misses.

Every figure is the bundle's. What was tried and learnt is prose, and comes from a file of notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from palm_engine.analysis.aims import aims, gain_shares
from palm_engine.analysis.guarantee import audit_verdict
from palm_engine.analysis.interpolation import interpolation_info
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Candidate

ANSWERS = 10


def account(bundle: Bundle, notes: str = "", seed: int = 1) -> str:
    """The whole account, as Markdown.

    Args:
        bundle: to tell about; parts that it lacks are left out.
        notes: Markdown without figures, put behind the aims.
        seed: of the answers that are drawn at random.
    """
    parts = [
        _heading(bundle),
        _audit(bundle),
        _made_from(bundle),
        _section("What was aimed at", _aims(bundle)),
        notes.strip(),
        _section("The rewards", _rewards(bundle)),
        _section("What came out", summary(bundle)),
        markdown_table(bundle),
        _section("By size", _sizes(bundle)),
        _section("Each corner in its own trait", _corners(bundle)),
        _section("Read blind", _reading(bundle)),
        _section("Beside interpolation", _interpolation(bundle)),
        _section("Four ways to choose", _diversity(bundle)),
        _section("Planned and reached", _planned(bundle)),
        _section("Random answers of the members", _answers(bundle, seed)),
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


def _audit(bundle: Bundle) -> str:
    """What the reward audit says, first of all, where it failed."""
    audit = bundle.manifest.reward_audit
    return "" if audit is None or audit.passes else f"**{audit_verdict(audit)}**"


def summary(bundle: Bundle) -> str:
    """Base, candidates, members and worst gap, as a few lines of Markdown."""
    manifest = bundle.manifest
    kinds = pd.Series([c.kind for c in manifest.candidates]).value_counts()
    made = ", ".join(
        f"{kinds[kind]} {word}"
        for kind, word in (
            ("adapter", "trained LoRA adapters"),
            ("soup", "soups of them"),
            ("base", "base"),
            ("prompted", "prompted policies"),
            ("remote", "served models"),
        )
        if kind in kinds
    )
    members = ", ".join(_name(bundle.candidate(m.policy)) for m in manifest.members)
    lines = [f"{len(manifest.candidates)} candidates ({made}). Members: {members}.", ""]
    certificate = manifest.certificate
    if certificate is None:
        return "\n".join(lines)
    bound = certificate.additive
    difference = certificate.single_best_minus_members
    lines += [
        f"- Worst gap of these {len(manifest.members)}: **{bound.estimate:.4f}**,"
        f" {100 * bound.confidence:.0f} % bound **{bound.upper:.4f}** (additive,"
        f" {bundle.unit}; scope: candidates, whole simplex; {bound.prompts} certify prompts), at"
        f" {bundle.weights_text(certificate.at_weights)}.",
        f"- Best single candidate ({_name(bundle.candidate(certificate.single_best))}): its worst"
        f" gap is larger by {difference.estimate:.4f} (at least {difference.lower:.4f} with"
        f" {100 * difference.confidence:.0f} % confidence, paired).",
    ]
    if certificate.planned_gap is not None:
        lines.append(
            f"- Planned before the training (scope: pool): worst gap {certificate.planned_gap:.4f}."
        )
    shares = gain_shares(bundle)
    if shares:
        told = ", ".join(f"{t} {s:.0%}" for t, s in shares.items())
        lines.append(f"- What is gained over the base at equal weights comes from: {told}.")
    return "\n".join(lines)


def markdown_table(bundle: Bundle) -> str:
    """The candidates as a Markdown table: rewards on held-out prompts, what was planned, KL.

    Members in bold.
    """
    traits = bundle.traits
    members = {m.policy for m in bundle.manifest.members}
    rows = []
    for c in bundle.manifest.candidates:
        name = f"**{c.policy}**" if c.policy in members else c.policy
        name += " ⚠" if c.warning else ""
        planned = [f"{c.planned.rewards[t]:.3f}" if c.planned else "" for t in traits]
        kl = f"{c.kl.mean:.1f} ± {c.kl.standard_error:.1f}" if c.kl else ""
        rows.append([name, c.kind, c.role, *(f"{c.rewards[t]:.3f}" for t in traits), *planned, kl])
    head = ["policy", "kind", "role", *traits, *(f"planned {t}" for t in traits), "KL (nats)"]
    odd = [f"⚠ {_name(c)}: {plain(c.warning)}." for c in bundle.manifest.candidates if c.warning]
    return "\n\n".join([_table(head, rows), *odd])


def plain(text: str) -> str:
    """Generated text that can't end a table, open HTML or load an image; line breaks are spaces."""
    quiet = "".join(c for c in " ".join(text.split()) if ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0)
    for letter in "\\<>[]!`*_#|$":
        quiet = quiet.replace(letter, f"\\{letter}")
    return quiet


def _heading(bundle: Bundle) -> str:
    manifest = bundle.manifest
    lines = [f"# {plain(manifest.title or manifest.name)}"]
    built = manifest.built
    if built.created:
        versions = ", ".join(f"{k} {v}" for k, v in built.versions.items())
        lines.append(
            f"\nBuilt {built.created[:10]}, seed {built.seed}, with {versions}. Every figure is"
            f" from `portfolio.json` of this bundle (`palm account`); rewards are means over"
            " prompts, in [0, 1]."
        )
    return "\n".join(lines)


def _made_from(bundle: Bundle) -> str:
    config = bundle.manifest.built.config
    if not config:
        return ""
    sizes = bundle.prompts["split"].value_counts()
    lines = [
        "## What it is made from",
        "",
        f"- {len(bundle.prompts)} prompts: "
        + ", ".join(f"{sizes.get(s, 0)} {s}" for s in ("train", "choose", "certify"))
        + ".",
    ]
    rewards = bundle.pool_rewards
    if rewards is not None:
        lines.append(
            f"- A pool of {rewards.shape[1]} answers to each of {rewards.shape[0]} train prompts,"
            " from which the last round was planned and trained."
        )
    sampling = bundle.manifest.sampling
    if sampling is not None:
        told = ", ".join(f"{k} {v:g}" for k, v in sampling.model_dump().items())
        lines.append(f"- Sampling, in pool and evaluation alike: {told}.")
    training = config.get("training")
    if isinstance(training, dict):
        keys = ("method", "rank", "alpha", "learning_rate", "batch_size", "draws_per_prompt")
        told = ", ".join(f"{k} {training[k]}" for k in (*keys, "epochs") if k in training)
        betas = ", ".join(f"{b:g}" for b in bundle.manifest.beta)
        lines.append(f"- Training: {told}; beta {betas}.")
    rounds = config.get("rounds")
    if isinstance(rounds, dict) and rounds.get("count", 1) != 1:
        lines.append(
            f"- {rounds['count']} rounds: {rounds['answers']} own answers of each adapter to each"
            " train prompt joined the pool after the first."
        )
    return "\n".join(lines)


def _aims(bundle: Bundle) -> str:
    rows = [[a.text, a.figure, "met" if a.met else "**missed**"] for a in aims(bundle)]
    return _table(["aim", "is", ""], rows)


def _rewards(bundle: Bundle) -> str:
    lines = []
    cards: dict[str, str] = {}
    for trait in bundle.manifest.traits:
        lines.append(f"- **{trait.name}**: {plain(trait.reward)}; {plain(trait.normalisation)}.")
        if trait.card:
            told = "; ".join(f"{k.replace('_', ' ')} {v}" for k, v in trait.card.items())
            cards.setdefault(plain(told), trait.name)
    lines += [f"\nThe card: {told}." for told in cards]
    audit = bundle.manifest.reward_audit
    if audit is not None:
        rows = [
            [
                a.kind,
                str(a.tried),
                f"{a.lead:+.3f}",
                bundle.weights_text(a.at_weights),
                f"{a.share:.0%}",
                *_paid(a.most, bundle.traits),
            ]
            for a in audit.attacks
        ]
        for name, most in (
            ("answers to other prompts", audit.shuffled),
            ("the members' own answers", audit.members),
        ):
            if most is not None:
                rows.append([name, "", "", "", "", *_paid(most, bundle.traits)])
        head = ["attack", "tried", "largest lead", "at", "ahead for"]
        head += [f"most {t}" for t in bundle.traits]
        lines += ["", audit_verdict(audit), "", _table(head, rows)]
    return "\n".join(lines)


def _paid(most: Mapping[str, float] | None, traits: Sequence[str]) -> list[str]:
    """The largest mean reward of one of them, by trait; empty where it wasn't kept."""
    return ["" if most is None else f"{most[t]:.3f}" for t in traits]


def _sizes(bundle: Bundle) -> str:
    certificate = bundle.manifest.certificate
    if certificate is None or not certificate.curve:
        return ""
    rows = [
        [
            str(p.k),
            f"{p.choose_gap:.4f}",
            f"{p.gap.estimate:.4f}",
            f"{p.gap.upper:.4f}",
            ", ".join(bundle.label(m) for m in p.members),
        ]
        for p in certificate.curve
    ]
    head = ["members", "chosen at", "worst gap (certify)", "bound, all sizes at once", "who"]
    return _table(head, rows)


def _corners(bundle: Bundle) -> str:
    certificate = bundle.manifest.certificate
    rows = [
        [
            t.trait,
            plain(t.judge),
            t.rival,
            f"{t.difference.estimate:+.3f} (at least {t.difference.lower:+.3f})",
            "holds" if t.difference.lower > 0 else "**doesn't hold**",
        ]
        for t in (certificate.corner_tests if certificate else ())
    ]
    if not rows:
        return ""
    return (
        "Mean paired difference to a rival in that trait on the certify prompts, one-sided 95 %"
        " bound.\n\n" + _table(["trait", "judge", "rival", "difference", ""], rows)
    )


def _reading(bundle: Bundle) -> str:
    found = bundle.manifest.reading
    if found is None:
        return ""
    rows = [
        [
            bundle.label(p.policy),
            str(p.answers),
            f"{p.fits:.0%}",
            f"{p.on_subject:.0%}",
            *(f"{p.grades[t]:.2f}" for t in bundle.traits),
        ]
        for p in found.policies
    ]
    head = ["policy", "answers", "fit", "fit in part", *(f"{t} (0 to 2)" for t in bundle.traits)]
    duels = [
        [
            d.trait,
            bundle.label(d.adapter),
            bundle.label(d.rival),
            str(d.won),
            str(d.lost),
            str(d.tied),
        ]
        for d in found.preferences
    ]
    agreement = ", ".join(f"{a.trait} {a.spearman:.2f}" for a in found.agreement)
    return "\n".join(
        [
            f"{found.answers} answers to {found.prompts} {found.split} prompts, order shuffled,"
            f" policies and scores hidden. Read by {plain(found.reader)}.",
            "",
            _table(head, rows),
            "",
            _table(["trait", "corner", "rival", "preferred", "rival preferred", "neither"], duels),
            "",
            f"Rank correlation of grades and rewards: {agreement}.",
        ]
    )


def _interpolation(bundle: Bundle) -> str:
    found = bundle.manifest.interpolation
    if found is None:
        return ""
    info = interpolation_info(bundle, found)
    rows = [
        [
            r.name,
            f"{r.value:.3f}",
            str(r.adapters),
            str(r.passes),
            ""
            if r.difference is None
            else f"{r.difference.estimate:+.3f} ({r.difference.lower:+.3f} to"
            f" {r.difference.upper:+.3f})",
            str(r.ahead),
        ]
        for r in info.rivals
    ]
    head = ["way", "value", "adapters", "passes per token", "to the portfolio", "ahead at"]
    return f"{info.verdict}\n\n{_table(head, rows)}"


def _diversity(bundle: Bundle) -> str:
    certificate = bundle.manifest.certificate
    rows = [
        [
            d.portfolio,
            ", ".join(bundle.label(m) for m in d.members),
            f"{d.worst_gap:.4f}",
            f"{d.distance:.3f}",
        ]
        for d in (certificate.diversity if certificate else ())
    ]
    if not rows:
        return ""
    head = ["portfolio", "members", "worst gap (certify)", "diversity"]
    return (
        "Diversity is the mean pairwise embedding distance of members' answers to one prompt."
        "\n\n" + _table(head, rows)
    )


def _planned(bundle: Bundle) -> str:
    rows = []
    for c in bundle.manifest.candidates:
        if c.planned is None or c.weights is None:
            continue
        values = [_value(c.weights, c.planned.rewards)]
        values += [
            _value(c.weights, c.evaluated[s]) for s in ("train", "certify") if s in c.evaluated
        ]
        rows.append([c.policy, *(f"{v:.3f}" for v in values), _training(c)])
    if not rows:
        return ""
    head = ["adapter", "planned", "reached (train)", "reached (certify)", "loss (nats per token)"]
    if not any(row[-1] for row in rows):
        rows, head = [row[:-1] for row in rows], head[:-1]
    return (
        "Value of each adapter at its own weights: what falls short on train prompts is lost by the"
        " projection on the adapter, what falls short on certify prompts besides by"
        " generalisation.\n\n" + _table(head, rows)
    )


def _training(candidate: Candidate) -> str:
    """The losses of its training, in a cell."""
    told = candidate.training
    if told is None:
        return ""
    losses = told.held_out or told.losses
    if not losses and told.value is None:
        return ""
    if told.value is not None:
        return f"value {told.value[0]:.3f} to {told.value[1]:.3f}"
    kept = losses[told.epoch if told.held_out else max(told.epoch - 1, 0)]
    return f"{losses[0]:.2f} to {kept:.2f}{' (held out)' if told.held_out else ''}"


def _value(weights: dict[str, float], rewards: dict[str, float]) -> float:
    return sum(w * rewards[t] for t, w in weights.items())


def _answers(bundle: Bundle, seed: int) -> str:
    held_out = bundle.prompts[bundle.prompts["split"] == "certify"].set_index("prompt_id")["text"]
    own = bundle.samples[bundle.samples["prompt_id"].isin(held_out.index)]
    if own.empty:
        return ""
    lines = [f"{ANSWERS} each, drawn with seed {seed}, as they came."]
    for member in bundle.manifest.members:
        rows = own[own["policy"] == member.policy]
        drawn = rows.sample(min(ANSWERS, len(rows)), random_state=seed).to_dict("records")
        lines += ["", f"### {_name(bundle.candidate(member.policy))}", ""]
        lines += list(_answer_lines(drawn, held_out, bundle.traits))
    return "\n".join(lines)


def _answer_lines(
    rows: Iterable[dict[Any, Any]], texts: pd.Series[str], traits: Sequence[str]
) -> Iterator[str]:
    for row in rows:
        scores = ", ".join(f"{t} {row[t]:.2f}" for t in traits)
        prompt = plain(str(texts[row["prompt_id"]]))
        yield f"- **{prompt}** {plain(str(row['text']))} ({scores})"


def _name(candidate: Candidate) -> str:
    mark = " ⚠" if candidate.warning else ""
    if not candidate.display_name:
        return f"`{candidate.policy}`{mark}"
    return f"{plain(candidate.display_name)} (`{candidate.policy}`){mark}"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)])
