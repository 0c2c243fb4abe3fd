"""The stages of a policy on a robot, and what must hold in one before the next.

A policy first runs in the shadow (everything but the commands), then slowly and in a box, then
freely. Whether a stage was passed is judged by what the policy node says of itself on
``/diagnostics`` at the beginning and the end of a trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

STAGES = ('shadow', 'limited', 'full')
FOLDER = '.local/share/sim2real/policies'
"""Where releases are on a robot, relative to the home folder."""

Values = Mapping[str, str]
"""Of one status of the policy node, as on ``/diagnostics``."""

COUNTED = ('commands_made', 'deadline_misses')  # in the shadow no command is sent
FORBIDDEN = ('latched', 'stopped')


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What a trial must have shown.

    Attributes:
        seconds: how long it lasted at least.
        missed: share of deadlines missed, at most.
        limited: share of commands in which the guard changed what the policy wanted, for the
            reason that it did so most often, at most.
    """

    seconds: float = 60.0
    missed: float = 0.01
    limited: float = 0.05


CRITERIA = {
    'shadow': Criterion(),
    # The guard is set tighter here than the policy was trained for, so it has more to do.
    'limited': Criterion(limited=0.5),
}
"""For each stage that has a next one."""


@dataclass(frozen=True)
class Verdict:
    """Whether a stage was passed.

    Attributes:
        stage: which.
        content_hash: of the bundle that ran.
        reasons: why not; empty when it was.
        figures: what was measured.
    """

    stage: str
    content_hash: str
    reasons: tuple[str, ...]
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it was."""
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """For the file that the next stage asks for."""
        return {**asdict(self), 'ok': self.ok}


def settings(
    stage: str, speed: float, workspace: tuple[Sequence[float], Sequence[float]] | None
) -> dict[str, Any]:
    """Parameters of the policy node in a stage.

    Args:
        stage: one of :data:`STAGES`.
        speed: share of the speed limits in ``limited``.
        workspace: lower and upper corner of the tool's box in ``limited`` [m]; None for none.
    """
    values: dict[str, Any] = {'shadow': stage == 'shadow'}
    if stage == 'limited':
        values['speed_factor'] = speed
        if workspace is not None:
            values['workspace_low'] = [float(value) for value in workspace[0]]
            values['workspace_high'] = [float(value) for value in workspace[1]]
    return values


def judge(
    stage: str,
    content_hash: str,
    first: Values,
    last: Values,
    seconds: float,
    faults: Sequence[str],
    interventions: Sequence[str],
) -> Verdict:
    """Judge a trial.

    Args:
        stage: which was tried; one of :data:`CRITERIA`.
        content_hash: of the bundle that was deployed.
        first: values of the policy's status when the trial began.
        last: and when it ended.
        seconds: between the two.
        faults: what its statuses said that was not OK.
        interventions: names of the values that count what the guard did.
    """
    criterion, reasons = CRITERIA[stage], [f'it said: {words}' for words in dict.fromkeys(faults)]
    if last.get('content_hash') != content_hash:
        ran = last.get('content_hash', 'none')
        reasons.append(f'another bundle ran ({ran[:12]}, not {content_hash[:12]})')
    if last.get('shadow', '').lower() != str(stage == 'shadow').lower():
        reasons.append(f'the node did not run in the stage {stage}: restart it')
    if seconds < criterion.seconds:
        reasons.append(f'it lasted {seconds:.0f} s, {criterion.seconds:g} s are needed')
    for name in FORBIDDEN:
        if last.get(name, 'False').lower() not in ('false', ''):
            reasons.append(f'it is {name}')
    counts = {name: _number(last, name) - _number(first, name) for name in COUNTED}
    commands = counts['commands_made']
    due = commands + counts['deadline_misses']
    if min(counts.values()) < 0:
        reasons.append('the node was started again meanwhile')
    if commands <= 0:
        reasons.append('it gave no command')
    changed = [_number(last, name) - _number(first, name) for name in interventions]
    shares = {
        'missed': counts['deadline_misses'] / due if due > 0 else 1.0,
        'limited': max(changed, default=0.0) / commands if commands > 0 else 1.0,
    }
    for name, share in shares.items():
        bar = getattr(criterion, name)
        if commands > 0 and share > bar:
            reasons.append(f'{name}: {share:.1%} of commands, {bar:.0%} allowed')
    figures = {'seconds': seconds, 'commands': commands, **shares}
    return Verdict(stage, content_hash, tuple(reasons), figures)


def _number(values: Values, name: str) -> float:
    try:
        return float(values.get(name, '0'))
    except ValueError:
        return 0.0
