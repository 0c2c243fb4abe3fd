"""Who is let in: tokens by their hashes, browsers, certificates, nobody."""

import base64
import os

import pytest
import yaml

from sim2real_capture.access import Access, AccessFile, Caller, add_token, load_access, revoke
from sim2real_core.errors import InputError

ARM, ANNA = Caller('arm7', sends=True, looks=False), Caller('anna', sends=False, looks=True)


@pytest.fixture
def file(tmp_path):
    return tmp_path / 'keys' / 'receiver.yaml'


def basic(name, token):
    return 'Basic ' + base64.b64encode(f'{name}:{token}'.encode()).decode()


def test_tokens(file):
    arm, anna = add_token(file, 'robots', 'arm7'), add_token(file, 'viewers', 'anna')
    access = load_access(file)
    shown = {
        f'Bearer {arm}': ARM,
        f'bearer  {arm} ': ARM,
        f'Bearer {anna}': ANNA,
        basic('anna', anna): ANNA,
        basic('anna', arm): None,
        basic('arm7', arm): None,  # robots do not look
        basic('bert', anna): None,
        f'Bearer {arm[:-1]}': None,
        f'Bearer {arm}x': None,
        'Bearer ': None,
        'Bearer \udcff': None,
        'Basic ????': None,
        'Basic ' + base64.b64encode(b'\xff:\xff').decode(): None,
        arm: None,
        '': None,
    }
    assert {text: access.caller(text, '') for text in shown} == shown
    assert not access.open
    assert arm not in file.read_text() and os.stat(file).st_mode & 0o077 == 0


def test_a_new_token_replaces_the_old_one(file):
    old, new = add_token(file, 'robots', 'arm7'), add_token(file, 'robots', 'arm7')
    access = load_access(file)
    assert access.caller(f'Bearer {old}', '') is None
    assert access.caller(f'Bearer {new}', '') == ARM


def test_certificates_count_only_where_they_are_asked_for():
    assert Access(certificates=True).caller('', 'arm7') == ARM
    assert Access(certificates=True).caller('', '') is None
    assert Access(certificates=True).caller('', '../arm7') is None
    assert Access(robots={'x': '0' * 64}).caller('', 'arm7') is None


def test_without_credentials_anyone_may_do_all():
    assert Access().open and load_access('') == Access()
    caller = Access().caller('', '')
    assert caller.sends and caller.looks


@pytest.mark.parametrize(
    ('text', 'named'),
    [
        ('[', 'credentials'),
        ('people: {}', 'credentials'),
        ('robots: [arm7]', 'robots'),
        ('revoked: arm7', 'revoked'),
        ('robots: {arm7: secret}', r'robots\.arm7'),
        (yaml.dump({'robots': {'../x': '0' * 64}}), 'robot'),
    ],
)
def test_files_that_will_not_do(tmp_path, text, named):
    file = tmp_path / 'receiver.yaml'
    file.write_text(text)
    with pytest.raises(InputError, match=named):
        load_access(file)


def test_revoked_ones_are_let_in_with_nothing(file):
    arm, anna = add_token(file, 'robots', 'arm7'), add_token(file, 'viewers', 'anna')
    shown = {'arm7': f'Bearer {arm}', 'anna': basic('anna', anna)}
    access = load_access(file, certificates=True)
    assert all(access.caller(said, '') for said in shown.values())
    assert access.caller('', 'arm7') == ARM
    assert [revoke(file, name) for name in ('arm7', 'anna', 'arm7')] == [True, True, False]
    access = load_access(file, certificates=True)
    assert not any(access.caller(said, '') for said in shown.values())
    assert access.caller('', 'arm7') is None and access.caller('', 'arm8').name == 'arm8'
    token = add_token(file, 'robots', 'arm7')  # a token again; the old certificate stays out
    access = load_access(file, certificates=True)
    assert access.caller(f'Bearer {token}', '') == ARM and access.caller('', 'arm7') is None


def test_a_file_is_followed_and_a_broken_one_is_not(file):
    arm = f'Bearer {add_token(file, "robots", "arm7")}'
    access = AccessFile(file)
    assert access.now().caller(arm, '') == ARM and access.trouble == ''
    for broken in ('{', 'robots: {arm7: secret}', None):
        if broken is None:
            file.unlink()
        else:
            file.write_text(broken)
        assert access.now().caller(arm, '') == ARM
        assert 'the old ones hold' in access.trouble and str(file) in access.trouble
    other = f'Bearer {add_token(file, "robots", "arm8")}'
    assert access.now().caller(arm, '') is None and access.now().caller(other, '') is not None
    assert access.trouble == ''


def test_a_file_that_was_emptied_lets_nobody_in(file):
    """Rather than everybody, as without one."""
    arm = f'Bearer {add_token(file, "robots", "arm7")}'
    access = AccessFile(file)
    file.write_text('')
    assert not access.now().open
    assert access.now().caller(arm, '') is None and access.now().caller('', '') is None


def test_names_that_will_not_do(file):
    with pytest.raises(InputError, match='robot'):
        add_token(file, 'robots', '../arm7')
    assert not file.exists()
