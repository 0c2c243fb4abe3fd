"""Pages to look at clips and to label them: rendered here, with a little script in the browser.

::

    GET /                         the list: ?label= and ?q= choose, ?page= turns
    GET /view/<clip>              one clip: events, scores and joints around them, label
    PUT /clips/<clip>/label       {"label": ...}
    GET /clips, /clips/<clip>     the same as JSON; /clips/<clip>/<file> is a file of it
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web

from sim2real_capture import plots
from sim2real_capture.catalogue import LABELS, Catalogue
from sim2real_capture.clip import MANIFEST, check_name
from sim2real_capture.library import list_clips, read_manifest
from sim2real_capture.scores import TOPIC, score_topic
from sim2real_capture.series import read_motion
from sim2real_capture.store import Usage
from sim2real_core.errors import Fault, InputError, Sim2RealError

TEMPLATES = Path(__file__).with_name('templates')
PER_PAGE = 100
PATIENCE = 10.0
"""With a label that does not arrive [s]."""
MARGIN = 4.0
"""Shown before the first event and after the last [s]."""
MOST_SHARE = 4.0
"""Scores are drawn up to so many times their threshold; the peak is said."""
HEADERS = {
    'Content-Security-Policy': "default-src 'none'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',
}
ASSETS = {
    'style.css': 'text/css',
    'page.js': 'text/javascript',
    'icon.svg': 'image/svg+xml',
}


class Page:
    """The pages of a folder of clips.

    Args:
        folder: of the clips.
        catalogue: of that folder.
        asker: who asks, by name.
        state: how full the store is, and what people should mend.
    """

    def __init__(
        self,
        folder: Path,
        catalogue: Catalogue,
        asker: Callable[[web.Request], str],
        state: Callable[[], Awaitable[tuple[Usage, str]]],
    ) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._asker = asker
        self._state = state

    def add_to(self, app: web.Application) -> None:
        """Serve them."""
        app.router.add_get('/', self._get_list)
        app.router.add_get('/view/{clip}', self._get_view)
        app.router.add_get('/assets/{name}', self._get_asset)
        app.router.add_put('/clips/{clip}/label', self._put_label)
        app.router.add_get('/clips', self._get_clips)
        app.router.add_get('/clips/{clip}', self._get_clip)
        app.router.add_get('/clips/{clip}/{file}', self._get_file)

    async def _get_list(self, request: web.Request) -> web.Response:
        query = request.query
        text, chosen = query.get('q', '')[:200], query.get('label')
        label = '' if chosen == 'none' else chosen if chosen in LABELS and chosen else None
        given = query.get('page', '1')
        page = max(1, int(given)) if given.isascii() and given.isdigit() and len(given) < 9 else 1
        usage, trouble = await self._state()
        count = await asyncio.to_thread(self._catalogue.count, text)
        entries = await asyncio.to_thread(
            self._catalogue.entries,
            label=label, text=text, first=(page - 1) * PER_PAGE, most=PER_PAGE,
        )  # fmt: skip
        total = sum(count.values()) if label is None else count[label]
        return _html(
            'list.html',
            entries=entries, count=count, label=label, labels=LABELS, text=text, page=page,
            pages=max(1, -(-total // PER_PAGE)), total=total, usage=usage, trouble=trouble,
        )  # fmt: skip

    async def _get_view(self, request: web.Request) -> web.Response:
        clip = check_name(request.match_info['clip'])
        entry = await asyncio.to_thread(self._catalogue.entry, clip)
        if entry is None:
            return _html('missing.html', status=404, clip=clip)
        manifest = await asyncio.to_thread(read_manifest, self._folder / clip)
        drawn, trouble = await asyncio.to_thread(_drawn, self._folder / clip, manifest)
        newer, older = await asyncio.to_thread(self._neighbours, clip)
        return _html(
            'view.html',
            entry=entry, manifest=manifest, drawn=drawn, trouble=trouble, labels=LABELS,
            newer=newer, older=older, geometry=plots,
        )  # fmt: skip

    def _neighbours(self, clip: str) -> tuple[str, str]:
        ids = [entry.clip for entry in self._catalogue.entries()]
        i = ids.index(clip)
        return (ids[i - 1] if i else '', ids[i + 1] if i + 1 < len(ids) else '')

    async def _get_asset(self, request: web.Request) -> web.Response:
        name = request.match_info['name']
        if name not in ASSETS:
            raise web.HTTPNotFound
        text = (TEMPLATES / name).read_text(encoding='utf-8')
        return web.Response(text=text, content_type=ASSETS[name], headers=HEADERS)

    async def _put_label(self, request: web.Request) -> web.Response:
        if request.content_type != 'application/json':  # what a foreign form cannot send
            raise InputError(Fault('Content-Type', request.content_type, 'application/json'))
        try:
            said = await asyncio.wait_for(request.json(), PATIENCE)
        except (ValueError, LookupError, RecursionError) as error:
            raise InputError(Fault('json', str(error), 'send {"label": ...}')) from error
        label = said.get('label') if isinstance(said, dict) else None
        if not isinstance(label, str):
            raise InputError(Fault('label', label, 'must be a text'))
        clip, by = request.match_info['clip'], self._asker(request)
        await asyncio.to_thread(self._catalogue.set_label, clip, label, by)
        return web.json_response({'clip': clip, 'label': label})

    async def _get_clips(self, _request: web.Request) -> web.Response:
        clips = await asyncio.to_thread(list_clips, self._folder)
        return web.json_response([info.as_json() for info in clips])

    async def _get_clip(self, request: web.Request) -> web.Response:
        path = self._folder / check_name(request.match_info['clip']) / MANIFEST
        if not path.is_file():
            return web.json_response({'error': 'no such clip'}, status=404)
        return web.Response(body=path.read_bytes(), content_type='application/json')

    async def _get_file(self, request: web.Request) -> web.FileResponse:
        folder = self._folder / check_name(request.match_info['clip'])
        name = request.match_info['file']
        if not (folder / MANIFEST).is_file() or name not in read_manifest(folder)['files']:
            raise web.HTTPNotFound
        headers = {**HEADERS, 'Content-Disposition': f'attachment; filename="{name}"'}
        return web.FileResponse(folder / name, headers=headers)


def _drawn(folder: Path, manifest: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The plots of a clip; or why there are none."""
    events = [(_number(e.get('stamp')), str(e['detector'])) for e in manifest['events']]
    times = [t for t, _ in events if t is not None]
    first, last = manifest['first_stamp'] * 1e-9, manifest['last_stamp'] * 1e-9
    zero = times[0] if times else first
    span = (max(first, zero - MARGIN), min(last, (times[-1] if times else last) + MARGIN))
    if span[1] <= span[0]:
        span = (first, last)
    try:
        motion = read_motion(folder)
    except Sim2RealError as error:
        return {}, str(error)
    except Exception as error:  # what robots send may be broken in any way; the page stands
        return {}, f'{type(error).__name__}: {error}'
    joints: dict[str, list[plots.Plot]] = {}
    for joint in motion.joints:
        lines = (('measured', joint.measured), ('commanded', joint.commanded))
        drawn = plots.plot(joint.name, joint.unit, lines, span, [(t, '') for t in times], zero)
        joints.setdefault(joint.quantity, []).append(drawn)
    scores = []
    for name, rows in _by_urgency(motion.scores, [name for _, name in events]):
        marks = [(t, '' if score_topic(by) == TOPIC + name else 'other') for t, by in events if t]
        peak = float(rows[:, 1].max()) if len(rows) else 0.0
        drawn = plots.plot(
            name, '', [('curve', rows)], span, marks, zero, level=1.0, most=MOST_SHARE
        )
        scores.append((drawn, peak))
    return {'joints': joints, 'scores': scores, 'source': motion.command_topic}, ''


def _by_urgency(
    scores: Mapping[str, plots.Array], raised: Sequence[str]
) -> list[tuple[str, plots.Array]]:
    """Detectors that raised events first, in their order; then by how near the others came."""
    order = [score_topic(name).removeprefix(TOPIC) for name in raised]

    def rank(item: tuple[str, plots.Array]) -> tuple[int, float, str]:
        name, rows = item
        peak = float(rows[:, 1].max()) if len(rows) else 0.0
        return order.index(name) if name in order else len(order), -peak, name

    return sorted(scores.items(), key=rank)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


@cache
def _templates() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    made = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters['size'] = _bytes
    made.filters['when'] = lambda text: str(text)[:19].replace('T', ' ')
    made.filters['number'] = lambda value, digits=4: (
        '–' if _number(value) is None else f'{value:.{digits}g}'
    )
    return made


def _bytes(count: float) -> str:
    for unit in ('B', 'kB', 'MB'):
        if count < 1000:
            return f'{count:.3g} {unit}'
        count /= 1000
    return f'{count:.3g} GB'


def _html(template: str, status: int = 200, **values: object) -> web.Response:
    text = _templates().get_template(template).render(values)
    return web.Response(text=text, status=status, content_type='text/html', headers=HEADERS)
