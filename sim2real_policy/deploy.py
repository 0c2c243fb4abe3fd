"""A bundle on a robot, over ssh: copied, built, checked, and only then switched to.

On the robot, under one folder:

    bundles/<SHA-256>.onnx     copied once, whatever they are called here
    releases/<release>/        policy.onnx, policy.yaml (parameters of the node), release.json,
                               check.json, trial.json when a stage was passed, and before, a link
                               to the release that was current before this one
    current                    link to a release

A link is replaced by renaming another over it, so ``current`` is at every moment one release or
the other, and knows the one before it: wherever a deployment is cut off, what ran stays in force
and can still be rolled back. Nothing of the robot's is needed but a POSIX shell, coreutils and
this suite.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sim2real_core.errors import Fault, InputError, MissingError, Sim2RealError
from sim2real_policy.bundle import Bundle
from sim2real_policy.config import PolicyConfig
from sim2real_policy.stages import FOLDER, STAGES, settings

COPY_WITHIN, BUILD_WITHIN, CHECK_WITHIN, QUICK = 600.0, 3600.0, 900.0, 30.0  # [s]
UNREACHABLE, NOT_FOUND = 255, 127  # exit status of ssh, and of a shell without the command
PREVIOUS = 'previous'
"""Link beside ``current`` that earlier versions kept to the release before."""
Tell = Callable[[str, float, str], None]
STEPS = {
    'copy': 'copying the bundle',
    'build': 'building the engine there',
    'check': 'checking it there',
    'switch': 'switching',
}


class Remote(Protocol):
    """Where a policy is deployed to."""

    def run(self, script: str, given: bytes = b'', within: float = QUICK) -> Answer:
        """Run a script by ``sh`` there, in the home folder.

        Args:
            script: POSIX shell.
            given: its standard input.
            within: longest wait [s].

        Raises:
            Sim2RealError: it cannot be reached, or no answer came in time.
        """
        ...


@dataclass(frozen=True)
class Answer:
    """Of a script: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Ssh:
    """A robot by the system's ``ssh``, with the user's own configuration, keys and agent.

    Attributes:
        host: ``[user@]host`` or a name from the user's ssh configuration.
        options: further arguments of ``ssh``.
    """

    host: str
    options: Sequence[str] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if not re.fullmatch(r'[^-\s]\S*', self.host) or self.host.endswith('@'):
            raise InputError(Fault('host', self.host, 'give [user@]host'))

    def run(self, script: str, given: bytes = b'', within: float = QUICK) -> Answer:
        command = ['ssh', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10', *self.options]
        command += ['--', self.host, f'sh -c {shlex.quote(script)}']
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, timeout=within, check=False
            )
        except FileNotFoundError as error:
            raise MissingError('ssh is needed: apt install openssh-client') from error
        except subprocess.TimeoutExpired as error:
            raise Sim2RealError(f'{self.host} gave no answer within {within:g} s') from error
        out, err = (text.decode(errors='replace') for text in (done.stdout, done.stderr))
        if done.returncode == UNREACHABLE:
            raise Sim2RealError(f'{self.host} cannot be reached: {err.strip()}')
        return Answer(done.returncode, out, err)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is deployed.

    Attributes:
        bundle: the policy.
        robot: name of the robot's profile there.
        stage: one of ``stages.STAGES``.
        speed: share of the speed limits in the stage ``limited``.
        workspace: corners of the tool's box in ``limited`` [m]; None for none.
        runtime: parameter of the node.
        precision: of the TensorRT engine built there, where there is a TensorRT; ``''`` for none.
        command: what runs this suite's command there.
        restart: shell command that restarts the node there; ``''`` for none.
        folder: there.
    """

    bundle: Bundle
    robot: str
    stage: str = STAGES[0]
    speed: float = 0.25
    workspace: tuple[Sequence[float], Sequence[float]] | None = None
    runtime: str = 'onnxruntime'
    precision: str = 'fp32'
    command: str = 'sim2real'
    restart: str = ''
    folder: str = FOLDER

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise InputError(Fault('stage', self.stage, f'must be one of {", ".join(STAGES)}'))
        # What the node there would refuse is refused here.
        PolicyConfig(**settings(self.stage, self.speed, self.workspace))

    @property
    def digest(self) -> str:
        """SHA-256 of the bundle's file."""
        return hashlib.sha256(self.bundle.model).hexdigest()

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the policy node, but for the bundle's path."""
        return {
            'robot': self.robot,
            'runtime': self.runtime,
            **settings(self.stage, self.speed, self.workspace),
        }

    @property
    def release(self) -> str:
        """Name of the release: the same bundle with the same parameters is the same release."""
        text = json.dumps(self.parameters, sort_keys=True)
        return f'{self.digest[:12]}-{self.stage}-{hashlib.sha256(text.encode()).hexdigest()[:8]}'


def deploy(
    plan: Plan, remote: Remote, tell: Tell = lambda step, share, more: None
) -> dict[str, Any]:
    """Copy, build, check, switch; ``current`` is touched only when all before went well.

    Returns:
        JSON data: the release, its ``check`` report, what was built, the release before.

    Raises:
        InputError: the stage before was not passed with this bundle.
        MissingError: this suite is not installed there.
        Sim2RealError: a step failed; says which, and what the robot said.
    """
    _stage_before(plan, remote)
    tell('copy', 0.0, '')
    make = f'mkdir -p {_q(plan.folder)}/bundles {_q(plan.folder)}/releases'
    folder = _said(remote, f'{make} && cd {_q(plan.folder)} && pwd', 'making the folder').strip()
    copied = _copy(plan, remote)
    release = f'{folder}/releases/{plan.release}'
    _write_release(plan, remote, release)
    tell('build', 0.0, 'this takes a minute or more')
    built = _build(plan, remote, release)
    tell('check', 0.0, '')
    report = _check(plan, remote, release)
    tell('switch', 0.0, '')
    before = current(remote, plan.folder)
    _switch(remote, plan.folder, plan.release)
    if plan.restart:
        _restart(plan, remote, before)
    tell('switch', 1.0, '')
    return {
        'release': plan.release,
        'stage': plan.stage,
        'copied': copied,
        'built': built,
        'check': report,
        'before': before,
    }


def rollback(remote: Remote, folder: str = FOLDER, restart: str = '') -> tuple[str, str]:
    """Switch to the release before; again, and it is undone.

    Returns:
        Names of the release that is current now, and of that which was.

    Raises:
        InputError: there is none before.
        Sim2RealError: it failed, or the bundle of the release before is damaged.
    """
    was, before = current(remote, folder), _link(remote, folder, 'current/before')
    before = before or _link(remote, folder, PREVIOUS)
    if before in ('', was):
        raise InputError(Fault('before', before, 'there is no release before this one'))
    bundle = _q(f'{folder}/releases/{before}/policy.onnx')
    said = remote.run(f'basename "$(readlink {bundle})" .onnx && sha256sum < {bundle}').out.split()
    if len(said) < 2 or said[0] != said[1]:
        raise Sim2RealError(f'the bundle of {before} is damaged there: deploy it again')
    _switch(remote, folder, before)
    if restart:
        _said(remote, restart, 'restarting the node')
    return before, was


def current(remote: Remote, folder: str = FOLDER) -> str:
    """Name of the release in use, or ``''``."""
    return _link(remote, folder, 'current')


def _link(remote: Remote, folder: str, name: str) -> str:
    answer = remote.run(f'readlink {_q(f"{folder}/{name}")}')
    return answer.out.strip().rpartition('/')[2]


def _q(text: str) -> str:
    return shlex.quote(text)


def _said(
    remote: Remote, script: str, doing: str = '', given: bytes = b'', within: float = QUICK
) -> str:
    """Standard output of a script that must succeed."""
    answer = remote.run(script, given, within)
    if answer.status:
        words = (answer.err.strip() or answer.out.strip()).splitlines()
        said = words[-1] if words else f'status {answer.status}'
        raise Sim2RealError(f'{doing or script} failed there: {said}')
    return answer.out


def _stage_before(plan: Plan, remote: Remote) -> None:
    """Whether the stage before was passed with this very bundle."""
    index = STAGES.index(plan.stage)
    if index == 0:
        return
    needed = STAGES[index - 1]
    pattern = f'{_q(plan.folder)}/releases/{plan.digest[:12]}-{needed}-*/trial.json'
    texts = remote.run(
        f'for f in {pattern}; do [ ! -f "$f" ] || {{ cat "$f"; echo; echo; }}; done'
    )
    for text in texts.out.split('\n\n'):
        try:
            trial = json.loads(text)
        except ValueError:
            continue
        right = trial.get('content_hash') == plan.bundle.content_hash
        if right and trial.get('stage') == needed and trial.get('ok') is True:
            return
    mend = f'pass {needed} first: deploy it as {needed}, run it, and sim2real policy trial there'
    raise InputError(Fault('stage', plan.stage, mend))


def _copy(plan: Plan, remote: Remote) -> bool:
    """Copy the bundle unless it is there; whether it was copied."""
    path = f'{plan.folder}/bundles/{plan.digest}.onnx'
    same = f'[ "$(sha256sum < {_q(path)} | cut -c1-64)" = {plan.digest} ]'
    if remote.run(f'[ -f {_q(path)} ] && {same}').status == 0:
        return False
    part = f'{path}.part'
    took = f'[ "$(sha256sum < {_q(part)} | cut -c1-64)" = {plan.digest} ]'
    script = f'cat > {_q(part)} && {took} && mv {_q(part)} {_q(path)}'
    _said(remote, script, 'copying the bundle', plan.bundle.model, COPY_WITHIN)
    return True


def _write_release(plan: Plan, remote: Remote, release: str) -> None:
    """The release's folder: link to the bundle, parameters, what it is."""
    parameters = {'bundle': f'{release}/policy.onnx', **plan.parameters}
    about = {
        'release': plan.release,
        'stage': plan.stage,
        'content_hash': plan.bundle.content_hash,
        'parameters': parameters,
    }
    link, bundle = f'{_q(release)}/policy.onnx', f'../../bundles/{plan.digest}.onnx'
    # Left alone where it is right: this release may be the current one.
    right = f'[ "$(readlink {link})" = {bundle} ] || ln -sfn {bundle} {link}'
    _said(remote, f'mkdir -p {_q(release)} && {{ {right}; }}', 'making the release')
    # JSON is YAML; so nothing is needed here that writes YAML.
    nodes = {'/**/policy': {'ros__parameters': parameters}}
    for name, data in (('policy.yaml', nodes), ('release.json', about)):
        path = _q(f'{release}/{name}')
        text = json.dumps(data, indent=2) + '\n'
        script = f'cat > {path}.part && mv {path}.part {path}'
        _said(remote, script, f'writing {name}', text.encode())


def _build(plan: Plan, remote: Remote, release: str) -> str:
    """Build the engine; its precision, or why there is none."""
    if not plan.precision:
        return 'not asked for'
    script = f'{plan.command} policy build {_q(release)}/policy.onnx --precision {plan.precision}'
    answer = remote.run(script, within=BUILD_WITHIN)
    if answer.status == MissingError.exit_code and not plan.runtime.startswith('tensorrt'):
        return answer.err.strip().rpartition('\n')[2]  # no TensorRT there: it runs without
    _understood(answer, plan.command, 'building the engine')
    return plan.precision


def _check(plan: Plan, remote: Remote, release: str) -> dict[str, Any]:
    """The report of ``policy check`` there, which must be good."""
    path = _q(f'{release}/check.json')
    part = f'{path}.part'
    asked = '' if plan.runtime == 'auto' else f' --runtime {_q(plan.runtime)}'
    check = (
        f'{plan.command} policy check {_q(release)}/policy.onnx --robot {_q(plan.robot)}{asked}'
    )
    script = (
        f'rm -f {part}; {check} --json {part} >&2; status=$?; [ ! -f {part} ] || cat {part}; '
        f'[ $status -ne 0 ] || mv {part} {path}; exit $status'
    )
    answer = remote.run(script, within=CHECK_WITHIN)
    try:
        report: dict[str, Any] = json.loads(answer.out)
    except ValueError:
        report = {}
    if answer.status and report.get('failures'):
        raise Sim2RealError('the check failed there:\n' + '\n'.join(report['failures']))
    _understood(answer, plan.command, 'checking it')
    return report


def _understood(answer: Answer, command: str, doing: str) -> None:
    """Raise what a failed command of this suite means."""
    if answer.status == NOT_FOUND:
        raise MissingError(f'{command} is not found there: install the suite, or say --command')
    if answer.status:
        raise Sim2RealError(f'{doing} failed there: {answer.err.strip()}')


def _switch(remote: Remote, folder: str, release: str, *, back: bool = False) -> None:
    """Make a release the current one, which then knows the one that was current before it.

    Args:
        remote: where.
        folder: there.
        release: its name.
        back: it is the one before again, as if nothing had been; what it knows is left alone.
    """
    remember = '' if back else '[ -z "$was" ] || put "../${was#releases/}" "$new/before" || exit 1'
    script = f"""
cd {_q(folder)} || exit 1
put() {{ ln -sfn "$1" "$2.next" && mv -T "$2.next" "$2"; }}
new=releases/{_q(release)}
was=$(readlink current || true)
[ "$was" = "$new" ] && exit 0
{remember}
put "$new" current
"""
    _said(remote, script, 'switching')


def _restart(plan: Plan, remote: Remote, before: str) -> None:
    """Restart the node; when that fails, go back to what was."""
    answer = remote.run(plan.restart, within=QUICK)
    if answer.status == 0:
        return
    if before:
        _switch(remote, plan.folder, before, back=True)
        remote.run(plan.restart, within=QUICK)
    back = f'back to {before}' if before else 'there is nothing to go back to'
    raise Sim2RealError(f'the node did not start ({answer.err.strip()}); {back}')
