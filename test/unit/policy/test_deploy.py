"""Deploying, with a shell of this machine in the robot's place; over ssh in test_deploy_ssh.py."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess

import numpy as np
import pytest

from sim2real_core.errors import InputError, MissingError, Sim2RealError
from sim2real_policy.config import PolicyConfig
from sim2real_policy.deploy import Answer, Plan, Ssh, current, deploy, rollback
from sim2real_policy.random_policy import random_policy

pytest.importorskip('onnx')
COMMAND = """#!/bin/sh
# Stands for the suite's command on the robot; status and report of each verb are files beside it.
here=$(dirname "$0")
echo "$@" >> "$here/calls"
[ "$2" = check ] && [ -f "$here/report" ] && {
  while [ "$1" != --json ]; do shift; done; cp "$here/report" "$2"; set -- policy check; }
[ ! -f "$here/$2" ] || { echo "$2 went wrong" >&2; exit $(cat "$here/$2"); }
"""


class Here:
    """Runs scripts in a folder of this machine."""

    def __init__(self, home):
        self.home = home
        self.scripts = []
        self.command = home / 'sim2real'
        self.command.write_text(COMMAND)
        self.command.chmod(self.command.stat().st_mode | stat.S_IXUSR)
        (home / 'report').write_text(json.dumps({'ok': True, 'failures': []}))

    def run(self, script, given=b'', within=30.0):
        self.scripts.append(script)
        done = subprocess.run(
            ['sh', '-c', script], cwd=self.home, input=given, capture_output=True, timeout=within
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    @property
    def folder(self):
        return self.home / 'my policies'

    def calls(self):
        return (self.home / 'calls').read_text().splitlines()


@pytest.fixture
def there(tmp_path):
    home = tmp_path / 'home'
    home.mkdir()
    return Here(home)


@pytest.fixture
def plan(there, metadata, tmp_path):
    """Makes a plan; another seed is another policy."""

    def make(seed=0, **changed):
        path = tmp_path / f'{seed}.onnx'
        bundle = random_policy(metadata(), path, np.random.default_rng(seed), hidden=(4,))
        command = f"'{there.command}'"
        return Plan(bundle=bundle, robot='pair', command=command, folder='my policies', **changed)

    return make


def passed(there, plan):
    """Note that the stage that is deployed was passed."""
    trial = {'ok': True, 'stage': plan.stage, 'content_hash': plan.bundle.content_hash}
    (there.folder / 'current' / 'trial.json').write_text(json.dumps(trial))


def test_a_release_is_complete_when_it_becomes_current(there, plan):
    first = plan(runtime='auto')
    result = deploy(first, there)
    release = there.folder / 'current'
    assert os.readlink(release) == f'releases/{first.release}' and result['copied']
    assert (release / 'policy.onnx').read_bytes() == first.bundle.model
    node = json.loads((release / 'policy.yaml').read_text())['/**/policy']['ros__parameters']
    assert node.pop('bundle') == str(there.folder / 'releases' / first.release / 'policy.onnx')
    assert node == {'robot': 'pair', 'runtime': 'auto', 'shadow': True}
    assert PolicyConfig(**node).shadow  # the node takes them
    assert json.loads((release / 'check.json').read_text())['ok']
    verbs = [' '.join(call.split()[:2]) for call in there.calls()]
    assert verbs == ['policy build', 'policy check']
    assert result['check']['ok'] and result['before'] == ''


def test_the_same_bundle_is_copied_once(there, plan):
    assert deploy(plan(), there)['copied']
    again = deploy(plan(speed=0.1), there)
    assert not again['copied'] and len(list((there.folder / 'bundles').iterdir())) == 1
    (bundle,) = (there.folder / 'bundles').iterdir()
    bundle.write_bytes(b'damaged')
    assert deploy(plan(), there)['copied'] and bundle.read_bytes() == plan().bundle.model


def test_rollback_switches_between_the_last_two(there, plan):
    with pytest.raises(InputError, match='no release before'):
        rollback(there, 'my policies')
    first, second = deploy(plan(0), there)['release'], deploy(plan(1), there)['release']
    assert current(there, 'my policies') == second != first
    deploy(plan(1), there)  # the same again forgets nothing
    assert rollback(there, 'my policies') == (first, second)
    assert current(there, 'my policies') == first
    assert rollback(there, 'my policies') == (second, first)


def test_where_an_earlier_version_deployed_its_link_is_gone_back_to(there, plan):
    first, second = deploy(plan(0), there)['release'], deploy(plan(1), there)['release']
    (there.folder / 'current' / 'before').unlink()  # it kept ``previous`` beside ``current``
    (there.folder / 'previous').symlink_to(f'releases/{second}')
    with pytest.raises(InputError, match='no release before'):  # that is the current one
        rollback(there, 'my policies')
    (there.folder / 'previous').unlink()
    (there.folder / 'previous').symlink_to(f'releases/{first}')
    assert rollback(there, 'my policies') == (first, second)
    assert rollback(there, 'my policies') == (second, first)  # known as of a new one from now on


def whole(release):
    """Whether a release has everything, undamaged."""
    bundle = release / 'policy.onnx'
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    named = os.readlink(bundle) == f'../../bundles/{digest}.onnx'
    texts = [(release / name).read_text() for name in ('policy.yaml', 'release.json')]
    return named and all(map(json.loads, [*texts, (release / 'check.json').read_text()]))


class Mortal:
    """A robot whose shell dies before its n-th command, and is not reached from then on."""

    def __init__(self, there, turn):
        self.there, self.turn, self.done, self.dead = there, turn, 0, False
        self.count = there.home / 'count'

    def run(self, script, given=b'', within=30.0):
        if not self.dead:
            counting = (
                f'set -T; n={self.done}; trap \'echo $n > "{self.count}"\' EXIT; '
                f"trap 'n=$((n + 1)); [ $n -ne {self.turn} ] || kill -9 $$' DEBUG\n"
            )
            done = subprocess.run(
                ['bash', '-c', counting + script],
                cwd=self.there.home, input=given, capture_output=True, timeout=within,
            )  # fmt: skip
            self.dead = done.returncode == -signal.SIGKILL
        if self.dead:
            raise Sim2RealError('it cannot be reached')
        self.done = int(self.count.read_text())
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.skipif(shutil.which('bash') is None, reason='bash counts the commands')
@pytest.mark.parametrize('new', [True, False], ids=['new', 'the same again'])
def test_killed_before_any_command_it_leaves_the_old_one_in_force(there, plan, new):
    zeroth, first = deploy(plan(0), there)['release'], deploy(plan(1), there)['release']
    last = plan(2 if new else 1, restart='echo restarted')
    before_of = {first: zeroth, last.release: first if new else zeroth}
    start, seen = there.home / 'start', set()
    shutil.copytree(there.folder, start, symlinks=True)
    for turn in range(1, 1000):
        robot = Mortal(there, turn)
        with contextlib.suppress(Sim2RealError):
            deploy(last, robot)
        now = current(there, 'my policies')
        seen.add(now)
        assert whole(there.folder / 'current'), turn
        assert os.readlink(there.folder / 'current/before') == f'../{before_of[now]}', turn
        if not robot.dead:
            break
        if turn % 2:  # else the next one goes on from where this one was killed
            shutil.rmtree(there.folder)
            shutil.copytree(start, there.folder, symlinks=True)
    assert turn > 30 and now == last.release and seen == {first, last.release}
    assert rollback(there, 'my policies') == (before_of[now], now)


def test_cut_off_between_any_two_scripts_it_can_be_done_again(there, plan):
    first = deploy(plan(0), there)['release']
    run, last = there.run, plan(1)
    for limit in range(100):
        there.scripts = []

        def cut(script, given=b'', within=30.0):
            if len(there.scripts) >= limit:  # noqa: B023
                raise Sim2RealError('the robot cannot be reached')
            return run(script, given, within)

        there.run = cut
        with contextlib.suppress(Sim2RealError):
            deploy(last, there)
        there.run = run
        if current(there, 'my policies') == last.release:
            break
        assert current(there, 'my policies') == first and whole(there.folder / 'current')
    assert limit > 8 and whole(there.folder / 'current')
    assert rollback(there, 'my policies') == (first, last.release)


def test_a_damaged_release_is_not_rolled_back_to(there, plan):
    first = deploy(plan(0), there)['release']
    second = deploy(plan(1), there)['release']
    (there.folder / 'releases' / first / 'policy.onnx').resolve().write_bytes(b'damaged')
    with pytest.raises(Sim2RealError, match=f'{first} is damaged'):
        rollback(there, 'my policies')
    assert current(there, 'my policies') == second


@pytest.mark.parametrize('verb', ['build', 'check'])
def test_what_fails_before_the_switch_changes_nothing(there, plan, verb):
    first = deploy(plan(0), there)['release']
    (there.home / verb).write_text('1')
    with pytest.raises(Sim2RealError, match=f'{verb} went wrong'):
        deploy(plan(1), there)
    assert current(there, 'my policies') == first


def test_a_failed_check_says_what_failed(there, plan):
    report = {'ok': False, 'failures': ['tensorrt: differs by 0.1', 'memory grew']}
    (there.home / 'report').write_text(json.dumps(report))
    (there.home / 'check').write_text('1')
    with pytest.raises(Sim2RealError, match=r'differs by 0.1\nmemory grew'):
        deploy(plan(), there)
    assert current(there, 'my policies') == ''


def test_a_robot_without_tensorrt_runs_without_unless_it_is_asked_for(there, plan):
    (there.home / 'build').write_text('3')
    assert deploy(plan(), there)['built'] == 'build went wrong'
    with pytest.raises(Sim2RealError, match='build went wrong'):
        deploy(plan(runtime='tensorrt'), there)
    assert deploy(plan(precision=''), there)['built'] == 'not asked for'


def test_a_robot_without_the_suite_says_so(there, plan):
    there.command.unlink()
    with pytest.raises(MissingError, match='install the suite'):
        deploy(plan(), there)


def test_a_copy_that_arrives_damaged_is_not_used(there, plan):
    run = there.run
    there.run = lambda script, given=b'', within=30.0: run(script, given[:-1], within)
    with pytest.raises(Sim2RealError, match='copying the bundle'):
        deploy(plan(), there)
    assert not list((there.folder / 'bundles').glob('*.onnx'))


def test_a_node_that_does_not_start_is_the_old_one_again(there, plan):
    zeroth, first = deploy(plan(2), there)['release'], deploy(plan(0), there)['release']
    with pytest.raises(Sim2RealError, match=f'back to {first}'):
        deploy(plan(1, restart='false'), there)
    assert current(there, 'my policies') == first
    # What was before it still is, not the one that did not start.
    assert os.readlink(there.folder / 'current/before') == f'../{zeroth}'
    deploy(plan(1, restart='touch restarted'), there)
    assert (there.home / 'restarted').is_file()


def test_each_stage_needs_the_one_before_passed_with_this_bundle(there, plan):
    with pytest.raises(InputError, match='pass shadow first'):
        deploy(plan(stage='limited'), there)
    deploy(plan(), there)
    with pytest.raises(InputError, match='pass shadow first'):
        deploy(plan(stage='limited'), there)
    passed(there, plan())
    with pytest.raises(InputError, match='pass limited first'):
        deploy(plan(stage='full'), there)
    with pytest.raises(InputError, match='pass shadow first'):
        deploy(plan(1, stage='limited'), there)  # another policy has to begin anew
    box = ((0.1, -0.2, 0.0), (0.5, 0.2, 0.6))
    limited = plan(stage='limited', speed=0.2, workspace=box)
    deploy(limited, there)
    text = (there.folder / 'current' / 'policy.yaml').read_text()
    node = json.loads(text)['/**/policy']['ros__parameters']
    assert node['speed_factor'] == 0.2 and node['shadow'] is False
    assert node['workspace_low'] == [0.1, -0.2, 0.0] and node['workspace_high'] == [0.5, 0.2, 0.6]
    passed(there, limited)
    full = plan(stage='full')
    deploy(full, there)
    assert full.parameters == {'robot': 'pair', 'runtime': 'onnxruntime', 'shadow': False}


@pytest.mark.parametrize('spoiled', ['{', '{"ok": true}', '{"ok": false, "stage": "shadow"}'])
def test_a_trial_that_cannot_be_read_is_none(there, plan, spoiled):
    deploy(plan(), there)
    (there.folder / 'current' / 'trial.json').write_text(spoiled)
    with pytest.raises(InputError, match='pass shadow first'):
        deploy(plan(stage='limited'), there)


@pytest.mark.parametrize('host', ['', '-oProxyCommand=x', 'a b'])
def test_a_host_is_no_option_of_ssh(host):
    with pytest.raises(InputError, match=r'\[user@\]host'):
        Ssh(host)


def test_unknown_stages_are_refused(plan):
    with pytest.raises(InputError, match='shadow, limited, full'):
        plan(stage='production')
