"""What the command line shows.

Progress bars with an estimate of the time left, and tables of a portfolio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from palm_engine.analysis.guarantee import audit_verdict
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Attack, Candidate, RewardAudit
from palm_engine.cli.console import error_console, printable
from palm_engine.geometry.simplex import weights_text

if TYPE_CHECKING:
    from palm_engine.serving.answering import LiveAnswer, Verdict
    from palm_engine.tables.reward_table import RewardTable


class TerminalProgress:
    """One bar a stage, with elapsed and remaining time; plain lines where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> TerminalProgress:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def stage(self, title: str, total: float) -> Callable[[float], None]:
        """Begin a stage; the returned function is given the amounts done."""
        bar = self.bars.add_task(title, total=total)
        finished = 0.0
        next_line = 0.1

        def done(amount: float) -> None:
            nonlocal finished, next_line
            finished += amount
            self.bars.advance(bar, amount)
            # A log file gets a line a tenth instead of a moving bar.
            if not self.console.is_terminal and finished / total >= next_line - 1e-9:
                task = self.bars.tasks[bar]
                elapsed = task.elapsed or 0.0
                left = elapsed * (total - finished) / max(finished, 1e-9)
                self.console.print(
                    f"{title}: {finished / total:.0%}, {elapsed:.0f} s, about {left:.0f} s left"
                )
                next_line = finished / total + 0.1

        if not self.console.is_terminal:
            self.console.print(f"{title} ...")
        return done

    def by_share(self, title: str) -> Callable[[float, str], None]:
        """Begin a stage that is told the share done so far, from 0 to 1, and a sentence."""
        step = self.stage(title, 1.0)
        done = 0.0

        def report(share: float, _: str) -> None:
            nonlocal done
            step(share - done)
            done = share

        return report

    def note(self, text: str) -> None:
        """A line of information."""
        self.console.print(text)


def bundle_table(bundle: Bundle) -> Table:
    """Candidates with their rewards, members marked."""
    members = {m.policy for m in bundle.manifest.members}
    table = Table(
        title=f"{bundle.manifest.name}: {len(bundle.policies)} candidates, {len(members)} members"
    )
    table.add_column("")
    for column in ("policy", "kind", "role"):
        table.add_column(column)
    for trait in bundle.traits:
        table.add_column(trait, justify="right")
    for c in bundle.manifest.candidates:
        mark = "*" if c.policy in members else ""
        kind = c.kind if c.passes == 1 else f"{c.kind}, {c.passes} passes per token"
        table.add_row(mark, _name(c), kind, c.role, *(f"{c.rewards[t]:.3f}" for t in bundle.traits))
    return table


def _name(candidate: Candidate) -> str:
    """The id, with the name for people where it has one."""
    if candidate.label == candidate.policy:
        return candidate.policy
    return f"{candidate.policy} ({candidate.label})"


def print_warnings(rewards: RewardTable) -> None:
    """Name policies that win by cheating, where they are candidates."""
    for name, warning in rewards.warnings.items():
        label = rewards.labels.get(name, name)
        error_console.print(f"Warning: {label} {warning}.", style="yellow")


def certificate_lines(bundle: Bundle) -> list[str]:
    """The certificate in a few sentences; each gap with its scope."""
    certificate = bundle.manifest.certificate
    if certificate is None:
        if bundle.members:
            kept = " and no prompts were kept for it"
            if not bundle.samples.empty:
                kept = " on the same prompts that would certify them (palm import splits them)"
            return [f"No certificate: the members were selected{kept}."]
        return ["No certificate: nothing was selected from these candidates yet."]
    bound = certificate.additive
    audit = bundle.manifest.reward_audit
    return [
        *([] if audit is None or audit.passes else [audit_verdict(audit)]),
        (
            f"Worst gap {bound.estimate:.4f}, {bound.confidence:.0%} bound {bound.upper:.4f} "
            f"(scope: {certificate.scope}, {_over(bundle)}; {certificate.certified_on})."
        ),
        (
            f"Selected by {certificate.method} on {certificate.selected_on}: worst gap"
            f" {certificate.choose_gap:.4f} there."
        ),
        (
            f"Best single candidate {bundle.label(certificate.single_best)}: worse by"
            f" {certificate.single_best_minus_members.estimate:.4f} (at least"
            f" {certificate.single_best_minus_members.lower:.4f} with {bound.confidence:.0%}"
            " confidence)."
        ),
    ]


def _against_all(attack: Attack) -> str:
    if attack.lead_over_candidates is None:
        return ""
    return f"; {attack.lead_over_candidates:+.3f} against all candidates"


def _over(bundle: Bundle) -> str:
    return f"weights with {bundle.region_text}" if bundle.region_text else "whole simplex"


def audit_lines(audit: RewardAudit) -> list[str]:
    """The verdict of a reward audit, and a line for each kind of attack."""
    return [
        audit_verdict(audit),
        *(
            f"{a.kind} ({a.tried} tried): {a.lead:+.3f} against the members at"
            f" {weights_text(a.at_weights)}; ahead for {a.share:.0%} of uniform users"
            + _against_all(a)
            for a in audit.attacks
        ),
        *paid_lines(
            {a.kind: a.most for a in audit.attacks}
            | {"answers to other prompts": audit.shuffled, "the members' own": audit.members}
        ),
    ]


def paid_lines(rows: Mapping[str, Mapping[str, float] | None]) -> list[str]:
    """What each reward pays the best of each kind of answer, a line for each that was measured."""
    return [
        f"Most that {kind} {'get' if kind.endswith(('prompts', 'own')) else 'gets'}:"
        f" {', '.join(f'{t} {x:.3f}' for t, x in most.items())}"
        for kind, most in rows.items()
        if most is not None
    ]


class StreamedAnswers:
    """Answers as they grow, a panel a member.

    Nothing is shown without a console, whole ones without a terminal.
    """

    def __init__(
        self,
        console: Console | None,
        members: Sequence[str],
        picked: str,
        label: Callable[[str], str] = str,
    ) -> None:
        self.console = console
        self.members = members
        self.label = label
        self.picked = picked
        self.texts = [""] * len(members)
        on_terminal = console is not None and console.is_terminal
        self.live = (
            Live(console=console, refresh_per_second=12, transient=True) if on_terminal else None
        )

    def __enter__(self) -> StreamedAnswers:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def update(self, row: int, piece: str) -> None:
        """A piece of text of one member."""
        self.texts[row] += piece
        if self.live is not None:
            self.live.update(Group(*map(self._panel, range(len(self.members)))))

    def summary(self, answers: Sequence[LiveAnswer], found: Verdict | None) -> None:
        """All answers with their scores; the best at the user's weights is named."""
        assert self.console is not None
        for row, answer in enumerate(answers):
            self.texts[row] = answer.text
            value = found.values.get(answer.policy) if found is not None else None
            below = "" if value is None else f"value {value:.3f}  {weights_text(answer.scores)}"
            self.console.print(self._panel(row, below))
        if found is not None and len(answers) > 1:
            self.console.print(found.words)

    def _panel(self, row: int, below: str = "") -> Panel:
        member = self.members[row]
        name = self.label(member)
        title = f"{name} (picked)" if member == self.picked else name
        return Panel(
            Text(printable(self.texts[row])),
            title=Text(printable(title)),
            subtitle=Text(printable(below)) if below else None,
            title_align="left",
        )
