"""Robots with tokens of their own: revoked, replayed, in one another's way."""

import http.client
import json
import shutil

import pytest

from sim2real_capture.access import AccessFile, add_token, revoke
from sim2real_capture.clip import MANIFEST
from sim2real_capture.library import verify
from sim2real_capture.receiver import OFFSET
from sim2real_capture.receiver_server import ReceiverServer
from sim2real_capture.store import INCOMING


@pytest.fixture
def keys(tmp_path):
    return tmp_path / 'keys.yaml'


@pytest.fixture
def tokens(keys):
    """Of two robots and a person."""
    names = {'arm7': 'robots', 'arm8': 'robots', 'anna': 'viewers'}
    return {name: add_token(keys, role, name) for name, role in names.items()}


@pytest.fixture
def server(tmp_path, keys, tokens):
    """A receiver that knows them."""
    running = ReceiverServer(tmp_path / 'library', access=AccessFile(keys))
    yield running
    assert running.close(10.0)


@pytest.fixture
def ask(server, tokens):
    """Sends a request of somebody over one connection that stays open; gives the status."""
    connection = http.client.HTTPConnection(server.url.removeprefix('http://'), timeout=10)

    def send(who, method, path, body=b'', offset=None):
        said = {'Authorization': f'Bearer {tokens[who]}', OFFSET: str(offset)}
        connection.request(method, path, body, said)
        response = connection.getresponse()
        response.read()
        return response.status

    yield send
    connection.close()


def requests_of(clip):
    """All that a robot asks to ship a clip."""
    body, path = (clip / MANIFEST).read_bytes(), f'/clips/{clip.name}'
    files = json.loads(body)['files']
    sent = [('PATCH', f'{path}/{name}', (clip / name).read_bytes(), 0) for name in files]
    return [('PUT', path, body), *sent, ('PUT', path, body)]


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def test_a_token_that_was_taken_back_counts_from_the_next_request_on(server, ask, keys, clip):
    announced, first, *_ = requests_of(clip)
    assert ask('arm7', *announced) == 202
    assert ask('anna', 'GET', '/') == 200
    revoke(keys, 'arm7')
    assert [ask('arm7', *each) for each in (first, announced)] == [401, 401]
    assert [ask('arm8', *announced), ask('anna', 'GET', '/')] == [202, 200]
    revoke(keys, 'anna')
    assert ask('anna', 'GET', '/') == 401


def test_a_broken_file_of_credentials_is_said_to_those_who_look(server, ask, keys, tokens):
    keys.write_text('robots: [')
    assert ask('anna', 'GET', '/') == 200
    assert 'the old ones hold' in server.receiver.trouble
    connection = http.client.HTTPConnection(server.url.removeprefix('http://'), timeout=10)
    connection.request('GET', '/', headers={'Authorization': f'Bearer {tokens["anna"]}'})
    assert 'the old ones hold' in connection.getresponse().read().decode()
    connection.close()


def test_requests_that_are_replayed_change_nothing(server, ask, clip, tmp_path):
    """By whoever heard them, with a token that is good, in any order, as often as they like."""
    requests = requests_of(clip)
    assert [ask('arm7', *each) for each in requests] == [202, 204, 204, 201]
    library = tmp_path / 'library'
    kept = content(library / clip.name)
    for who in ('arm7', 'arm8', 'arm7'):
        answers = [ask(who, *each) for each in requests[::-1]]
        assert answers == [200, 404, 404, 200]
    assert content(library / clip.name) == kept
    assert server.receiver.received == 1
    assert not any(p.is_file() for p in (library / INCOMING).rglob('*'))


def test_bytes_that_are_replayed_in_the_middle_are_not_taken_twice(server, ask, clip, tmp_path):
    announce, bag, metadata, done = requests_of(clip)
    ask('arm7', *announce)
    assert [ask('arm7', *bag), ask('arm7', *bag), ask('arm7', *metadata)] == [204, 409, 204]
    assert ask('arm7', *done) == 201
    verify(tmp_path / 'library' / clip.name)


def test_robots_are_not_in_one_anothers_way(ask, clip, tmp_path):
    """What one has begun another can neither go on with nor spoil."""
    announce, bag, metadata, done = requests_of(clip)
    assert ask('arm7', *announce) == 202
    assert ask('arm8', *bag) == 404
    spoiled = ('PATCH', bag[1], bytes(len(bag[2])), 0)
    assert [ask('arm8', *announce), ask('arm8', *spoiled), ask('arm8', *metadata)] == [
        202,
        204,
        204,
    ]
    assert ask('arm8', *done) == 422
    assert [ask('arm7', *each) for each in (bag, metadata, done)] == [204, 204, 201]
    received = json.loads((tmp_path / 'library' / clip.name / 'received.json').read_text())
    assert received['robot'] == 'arm7'


def test_a_clip_that_people_deleted_is_not_in_the_list(server, ask, clip, tmp_path):
    for each in requests_of(clip):
        ask('arm7', *each)
    shutil.rmtree(tmp_path / 'library' / clip.name)
    server.receiver._counted = -1e9  # looked long ago
    assert ask('anna', 'GET', '/') == 200
    assert ask('anna', 'GET', f'/view/{clip.name}') == 404
