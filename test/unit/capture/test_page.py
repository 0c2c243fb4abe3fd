"""The pages over HTTP and in a real browser (skipped by name where there is none)."""

import http.client
import json
import os
import re
import shutil
from datetime import datetime, timezone
from urllib.parse import urlsplit

import numpy as np
import pytest

from sim2real_capture.access import Access, AccessFile, add_token, load_access
from sim2real_capture.catalogue import labels
from sim2real_capture.clip import MANIFEST, Context, Journal
from sim2real_capture.clip_sealing import seal
from sim2real_capture.plots import HEIGHT, MOST_POINTS, WIDTH, plot, ticks
from sim2real_capture.receiver_server import ReceiverServer
from sim2real_capture.ring import Record
from sim2real_capture.scores import TYPE, encode, score_topic
from sim2real_capture.series import read_motion
from sim2real_core.errors import InputError
from sim2real_core.records import Event
from test.clips import copy_of

SECOND = 10**9
EVIL = '<script>document.title="owned"</script>"\''


def curves_at(t):
    """Scores over their thresholds: one that was raised, one that is quiet, one beyond all."""
    return {
        'effort': 0.3 + 0.05 * np.sin(3 * t),
        'tracking_error': 0.2 if t < 104.5 else 4 * (t - 104.5),
        'joint_limit': np.inf if t == 106.0 else 0.5,
    }


@pytest.fixture
def library(tmp_path, joint_state):
    """Three clips: joints that follow their command until they do not."""
    spool = tmp_path / 'library'
    spool.mkdir()
    for i, detail in enumerate(('elbow', 'wrist', EVIL)):
        name = f'clip-{i}'
        created = datetime(2026, 11, 21, 12, i, tzinfo=timezone.utc)
        journal = Journal(spool, name, Context('digger', 'f' * 64, 'b' * 64), created)
        journal.event(Event(105.0, 'tracking_error', 0.5, 0.25, detail=detail))
        journal.event(Event(106.0, 'operator', 0.0, 0.0, detail='by hand'))
        for k in range(400):
            t = 100 + 0.02 * k
            asked = {'elbow': np.sin(t), 'wrist': 0.5}
            stuck = {'elbow': np.sin(min(t, 104.5)), 'wrist': 0.5}
            journal.message(joint_state(t, **stuck))
            for name, share in curves_at(t).items():
                topic, now = f'/arm/{score_topic(name)}', round(t * SECOND)
                journal.message(Record(topic, TYPE, now, encode(share)))
            journal.message(joint_state(t, **asked)._replace(topic='/policy/action_applied'))
        journal.close('complete')
        journal.release()
        seal(journal.folder)
    return spool


@pytest.fixture
def server(library):
    """A receiver on a free port."""
    running = ReceiverServer(library)
    yield running
    assert running.close(10.0)


def ask(server, method, path, body=None, headers=None):
    """Status, text and headers."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()


@pytest.fixture(scope='module')
def browser():
    """Chromium, headless; where it is, ``CHROMIUM`` may say."""
    playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    names = (os.environ.get('CHROMIUM', ''), 'chromium', 'chromium-browser', 'google-chrome')
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        pytest.skip('there is no chromium on this machine')
    with playwright.sync_playwright() as running:
        made = running.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield made
        made.close()


@pytest.fixture
def tab(browser):
    """A page of the browser; nothing in its console, nothing fetched from elsewhere."""
    context = browser.new_context(viewport={'width': 1280, 'height': 900})
    page, wrong = context.new_page(), []
    page.set_default_timeout(20_000)
    page.on('console', lambda told: wrong.append(told.text))
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.on('request', lambda r: '127.0.0.1' in r.url or wrong.append(r.url))
    yield page
    context.close()
    assert wrong == []


def test_a_person_finds_labels_and_looks(tab, server, library):
    tab.goto(server.url)
    assert tab.locator('tbody tr').count() == 3
    row = tab.locator('[data-row="clip-0"]')
    assert '2×' in row.inner_text() and 'elbow' in row.inner_text()
    assert 'digger' in row.inner_text()  # who sent it is not known, what it is is
    row.get_by_role('button', name='false alarm').click()
    tab.get_by_text('Labelled: false alarm').wait_for()
    assert labels(library)['clip-0'] == 'false alarm'
    assert tab.locator('[data-count="false alarm"]').inner_text() == '1'
    tab.get_by_role('link', name='not labelled').click()
    assert tab.locator('tbody tr').count() == 2
    tab.locator('input[type=search]').fill('WRIST')
    tab.locator('input[type=search]').press('Enter')
    assert tab.locator('tbody tr').count() == 1
    tab.locator('tbody a').click()
    assert tab.locator('h1').inner_text() == 'wrist'
    elbow = tab.locator('[data-plot="elbow"]')
    assert elbow.count() == 1 and elbow.locator('polyline').count() == 2
    box = elbow.locator('polyline.commanded').bounding_box()
    assert box['width'] > 200 and box['height'] > 40
    tab.keyboard.press('r')
    tab.get_by_text('Labelled: real failure').wait_for()
    tab.keyboard.press('j')
    tab.wait_for_url('**/view/clip-0')
    tab.reload()
    assert tab.locator('[aria-pressed="true"]').inner_text() == 'false alarm'
    tab.keyboard.press('f')
    tab.get_by_text('Label removed').wait_for()
    assert labels(library) == {'clip-0': '', 'clip-1': 'real failure', 'clip-2': ''}


def box_of(place):
    """Left, right, top and bottom [px]."""
    box = place.bounding_box()
    return box['x'], box['x'] + box['width'], box['y'], box['y'] + box['height']


def test_scores_are_drawn_over_the_failing_seconds(tab, server):
    """The curve crosses its threshold before the trigger that it led to, and nowhere else."""
    tab.goto(server.url + '/view/clip-0')
    figures = tab.locator('#scores figure')
    shown = [figures.nth(i).get_attribute('data-plot') for i in range(figures.count())]
    assert shown == ['tracking_error', 'joint_limit', 'effort']  # raised, then by their peaks
    raised = figures.first
    assert 'peak 13.' in raised.inner_text() and 'peak 0.3' in figures.last.inner_text()
    assert 'peak 1e+06' in figures.nth(1).inner_text()
    threshold, (left, right, top, bottom) = (
        raised.locator('.level').bounding_box()['y'],
        box_of(raised.locator('.curve')),
    )
    assert right - left > 300 and top < threshold < bottom
    points = raised.locator('.curve').evaluate('line => [...line.points].map((p) => [p.x, p.y])')
    points = np.array(points)
    level = float(raised.locator('.level').get_attribute('y1'))
    above = points[:, 1] < level
    crossing = points[np.argmax(above), 0]
    marks = raised.locator('.mark')
    own = float(raised.locator('.mark:not(.other)').get_attribute('x1'))
    assert marks.count() == 2 and crossing < own < crossing + 0.25 / 8 * WIDTH
    assert above[np.argmax(above) :].all()
    quiet = figures.last
    assert quiet.locator('.mark').count() == quiet.locator('.mark.other').count() == 2
    assert (
        quiet.locator('.curve').bounding_box()['y'] > quiet.locator('.level').bounding_box()['y']
    )


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_on_a_telephone_nothing_is_cut_off_and_all_can_be_read(browser, server, scheme):
    context = browser.new_context(viewport={'width': 360, 'height': 740}, color_scheme=scheme)
    page = context.new_page()
    try:
        for path in ('/', '/view/clip-0'):
            page.goto(server.url + path)
            assert page.evaluate('document.documentElement.scrollWidth') <= 360
        colours = [
            page.evaluate(f'getComputedStyle(document.querySelector("{place}")).{name}')
            for place, name in (
                ('body', 'backgroundColor'),
                ('h1', 'color'),
                ('svg .curve', 'stroke'),
            )
        ]
        back, *others = (sum(map(int, re.findall(r'\d+', c)[:3])) / 3 for c in colours)
        assert (back < 60) == (scheme == 'dark')
        assert all(abs(one - back) > 70 for one in others)
        page.get_by_role('button', name='duplicate').click()
        page.get_by_text('Labelled: duplicate').wait_for()
    finally:
        context.close()


def test_a_clip_without_scores_has_its_page(server, library, clip):
    copy_of(clip, 'clip-9', library)
    server.receiver._counted = -1e9  # long ago
    assert 'clip-9' in ask(server, 'GET', '/')[1]  # what people put there is found
    status, text, _ = ask(server, 'GET', '/view/clip-9')
    assert status == 200 and 'id="scores"' not in text and 'data-plot="elbow"' in text


def test_what_robots_say_is_text(tab, server):
    tab.goto(server.url + '/view/clip-2')
    assert tab.locator('h1').inner_text() == EVIL
    assert tab.title() == 'clip-2'


def test_pages_without_script(server):
    status, text, headers = ask(server, 'GET', '/')
    assert status == 200 and "default-src 'none'" in headers['Content-Security-Policy']
    assert '<script>document' not in text
    for path in ('/?page=2', '/?page=x&label=none&q=%00', '/?label=other', '/?page=' + '9' * 400):
        assert ask(server, 'GET', path)[0] == 200
    assert ask(server, 'GET', '/view/nothing')[0] == 404
    assert ask(server, 'GET', '/assets/page.py')[0] == 404
    status, data, headers = ask(server, 'GET', '/clips/clip-0/metadata.yaml')
    assert status == 200 and 'rosbag2' in data and 'attachment' in headers['Content-Disposition']
    assert ask(server, 'GET', f'/clips/clip-0/{MANIFEST}')[0] == 404


@pytest.mark.parametrize(
    ('body', 'headers'),
    [
        ('{"label": "duplicate"}', {'Content-Type': 'text/plain'}),
        ('{"label": "other"}', {'Content-Type': 'application/json'}),
        ('{"label": 1}', {'Content-Type': 'application/json'}),
        ('[' * 100000, {'Content-Type': 'application/json'}),
        ('{', {'Content-Type': 'application/json'}),
        (
            '{"label": "duplicate"}',
            {'Content-Type': 'application/json', 'Origin': 'http://evil.example'},
        ),
        ('{"label": "duplicate"}', {'Content-Type': 'application/json', 'Host': 'evil.example'}),
    ],
)
def test_labels_that_are_refused(server, library, body, headers):
    status, _, _ = ask(server, 'PUT', '/clips/clip-0/label', body, headers)
    assert status in (400, 403) and labels(library)['clip-0'] == ''


def test_with_credentials_a_browser_asks_for_them(library, tmp_path, browser):
    keys = tmp_path / 'keys.yaml'
    token, robot = add_token(keys, 'viewers', 'anna'), add_token(keys, 'robots', 'arm7')
    server = ReceiverServer(library, access=load_access(keys))
    try:
        status, _, headers = ask(server, 'GET', '/')
        assert status == 401 and headers['WWW-Authenticate'].startswith('Basic')
        for path in ('/', '/clips', '/view/clip-0', '/clips/clip-0/metadata.yaml'):
            assert ask(server, 'GET', path, None, {'Authorization': f'Bearer {robot}'})[0] == 403
        for method, path in (('PUT', '/clips/x'), ('PATCH', '/clips/x/y'), ('GET', '/time')):
            assert ask(server, method, path, '', {'Authorization': f'Bearer {token}'})[0] == 403
        context = browser.new_context(http_credentials={'username': 'anna', 'password': token})
        page = context.new_page()
        page.goto(server.url + '/view/clip-0')
        page.get_by_role('button', name='real failure').click()
        page.get_by_text('Labelled: real failure').wait_for()
        context.close()
        said = json.loads((library / 'clip-0' / 'label.json').read_text())
        assert (said['label'], said['by']) == ('real failure', 'anna')
    finally:
        assert server.close(10.0)


def test_other_machines_are_served_only_with_credentials(library, tmp_path):
    (tmp_path / 'nobody.yaml').write_text('robots: {}')
    for access in (Access(), AccessFile(tmp_path / 'nobody.yaml')):
        with pytest.raises(InputError, match='credentials'):
            ReceiverServer(library, '0.0.0.0', access=access)
    server = ReceiverServer(library, '0.0.0.0', access=Access(viewers={'anna': '0' * 64}))
    assert server.close(10.0)


def test_a_clip_that_cannot_be_drawn_has_its_page(server, library):
    (library / 'clip-0' / 'clip-0_0.mcap').write_bytes(b'\x89MCAP0\r\n' + b'\xff' * 1000)
    status, text, _ = ask(server, 'GET', '/view/clip-0')
    assert status == 200 and 'Cannot be drawn' in text


def test_motion_of_a_clip(library):
    motion = read_motion(library / 'clip-0')
    assert motion.quantity == 'position' and motion.command_topic == '/policy/action_applied'
    elbow, wrist = motion.joints
    assert (elbow.name, wrist.name) == ('elbow', 'wrist')
    assert elbow.measured.shape == elbow.commanded.shape == (400, 2)
    np.testing.assert_allclose(elbow.commanded[:, 1], np.sin(elbow.commanded[:, 0]), atol=1e-6)
    assert elbow.measured[-1, 1] == pytest.approx(np.sin(104.5))


def test_a_plot_keeps_its_peaks_and_stays_inside():
    rows = np.column_stack([np.linspace(0, 100, 50_000), np.zeros(50_000)])
    rows[31_234, 1] = 7.0
    marks = [(50.0, 'other'), (200.0, '')]
    made = plot('joint', 'rad', [('measured', rows)], (0.0, 100.0), marks, 50.0)
    points = np.array([p.split(',') for p in made.lines[0].points.split()], dtype=float)
    assert len(points) <= MOST_POINTS + 2 and len(made.marks) == 1
    assert np.all((points >= 0) & (points <= (WIDTH, HEIGHT)))
    assert np.ptp(points[:, 1]) > 0.5 * HEIGHT
    assert [t.text for t in made.across][:2] == ['-40', '-20'] or '0' in [
        t.text for t in made.across
    ]


@pytest.mark.parametrize(
    ('low', 'high', 'expected'),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.31, 0.29, [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2]),
        (1.0, 1.0, []),
        (0.0, float('inf'), []),
    ],
)
def test_ticks(low, high, expected):
    assert ticks(low, high, 5) == expected
