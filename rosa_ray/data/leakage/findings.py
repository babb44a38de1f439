"""What the leak guard says: findings, and how well each input alone predicts each label."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

ANYWAY = "or set leak_guard.action=warn to train all the same"

KNOWN_THEN = (
    "give '{name}' as it was known before the request, dated by valid_from, or leave it out of features.columns, "
    "and preprocess again; " + ANYWAY
)
"""What to do about a declared column, by `name`."""


@dataclass(frozen=True)
class LeakFinding:
    """One thing that is wrong.

    Attributes:
        check: which check found it.
        severity: `leak` stops a training where `leak_guard.action` is fail; a `warning` never does.
        where: the feature, column or files.
        message: what was seen, with figures.
        remedy: what to do.
    """

    check: str
    severity: Literal["leak", "warning"]
    where: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}; {self.remedy}"


@dataclass(frozen=True)
class FeaturePower:
    """How well one input alone predicts one label.

    Attributes:
        feature, label: their names.
        auc: in [0, 1]; 0.5 says nothing, 0 as much as 1.
        positives, rows: labelled rows that it was measured on.
    """

    feature: str
    label: str
    auc: float
    positives: int
    rows: int

    @property
    def power(self) -> float:
        """The AUC or its complement, whichever is larger, in [0.5, 1].

        >>> FeaturePower("bid", "click", 0.25, 10, 40).power
        0.75
        """
        return max(self.auc, 1 - self.auc)


@dataclass(frozen=True)
class LeakReport:
    """The outcome of `guard`.

    Attributes:
        findings: leaks first.
        features: the strongest single inputs, strongest first, whether or not they are leaks.
        rows: impressions read; `labelled` of them are of the training or validation period.
        files_read, files: files of user rows.
        skipped: checks that were left out, and why.
        seconds: wall time.
    """

    findings: tuple[LeakFinding, ...] = ()
    features: tuple[FeaturePower, ...] = ()
    rows: int = 0
    labelled: int = 0
    files_read: int = 0
    files: int = 0
    skipped: tuple[str, ...] = field(default=())
    seconds: float = 0.0

    @property
    def leaks(self) -> tuple[LeakFinding, ...]:
        """The findings that stop a training."""
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The report for a terminal: one line, then one a finding.

        >>> LeakReport(rows=10, labelled=8, files=1, files_read=1).lines()
        ['leak guard: 0 leaks, 0 warnings in 8 labelled impressions (0.0 s)']
        """
        leaks, found = len(self.leaks), len(self.findings)
        head = f"leak guard: {leaks} leaks, {found - leaks} warnings in {self.labelled} labelled impressions"
        if self.features:
            top = self.features[0]
            turned = " the other way round" if top.auc < 0.5 else ""
            head += f"; strongest single input {top.feature} -> {top.label}, AUC {top.power:.3f}{turned}"
        return [f"{head} ({self.seconds:.1f} s)", *(f"  {item.severity}: {item}" for item in self.findings)]
