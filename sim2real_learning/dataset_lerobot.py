"""Data sets on disk, in the layout of LeRobot v3: every reader of that format reads them.

::

    <folder>/meta/info.json                              features, counts, paths
             meta/stats.json                             of every feature
             meta/tasks.parquet
             meta/episodes/chunk-000/file-000.parquet    where each episode lies, its statistics
             meta/sim2real.json                          version, parents, clips
             data/chunk-000/file-000.parquet             frames

``timestamp`` counts control periods, as that format wants it; ``stamp`` is the robot's own time.
What a policy learns from is ``observation.state`` and ``action``, with ``observation.memory``
(what a recurrent network remembered before) and ``observation.images.<name>`` where it has them;
``command`` is what was really sent, and ``failure`` holds from the alarm on. An episode is one
row group.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, InputError
from sim2real_core.files import write_json
from sim2real_learning.clips import known_of
from sim2real_learning.clips_episodes import Episode
from sim2real_learning.dataset import SCHEMA, Case, Dataset
from sim2real_learning.dataset_images import (
    Statistics,
    column_of,
    feature_of,
    files_of,
    reread,
    together,
    vector_statistics,
)
from sim2real_policy.images import ImageInput

VERSION = 'v3.0'
CHUNK = 1000
"""Files of a folder."""
FILE_MB = 100
"""Size at which a file of frames ends [MB]."""
DATA = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
EPISODES = f'meta/episodes/{DATA.partition("/")[2]}'
OWN = 'meta/sim2real.json'
WIDE = {
    'observation.state': 'observation',
    'action': 'action',
    'command': 'command',
    'observation.memory': 'memory',
}
"""Column of vectors -> the field of a data set that names their elements, and of an episode."""

Columns = dict[str, npt.NDArray[Any]]


def write(dataset: Dataset, folder: Path) -> str:
    """Write a version; nothing appears before it is whole.

    Args:
        dataset: what to write.
        folder: must not exist.

    Returns:
        Its content hash.

    Raises:
        InputError: the folder exists, or there is no case.
        ModuleNotFoundError: pyarrow is not installed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if folder.exists():
        raise InputError(Fault('out', str(folder), 'exists; name a new folder'))
    if not dataset.cases:
        raise InputError(Fault('clips', 0, 'none of them is left: there is nothing to write'))
    part = folder.with_name(f'{folder.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    features = _features(dataset)
    rows: list[dict[str, Any]] = []
    everything: list[Columns] = []
    seen: dict[str, list[Statistics]] = {column_of(image): [] for image in dataset.images}
    writer, first, size, file = None, 0, 0, 0
    for number, (case, episode) in enumerate(_episodes(dataset)):
        columns = _columns(dataset, case, episode, number, first)
        table, shown = _table(dataset, episode, columns, features)
        if writer is not None and size + table.nbytes > FILE_MB * 1e6:
            writer.close()
            writer, size, file = None, 0, file + 1
        if writer is None:
            path = part / DATA.format(**_place(file))
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = pq.ParquetWriter(path, table.schema, compression='snappy')
        writer.write_table(table)
        size += table.nbytes
        rows.append(_row(dataset, case, columns, shown, file))
        everything.append(columns)
        for name, found in shown.items():
            seen[name].append(found)
        first += len(episode.stamp)
    assert writer is not None  # a case has an episode
    writer.close()
    path = part / EPISODES.format(**_place(0))
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path, compression='snappy')
    _write_tasks(part / 'meta' / 'tasks.parquet', dataset.task)
    whole = {n: _statistics(np.concatenate([c[n] for c in everything])) for n in everything[0]}
    whole |= {name: together(parts) for name, parts in seen.items()}
    write_json(part / 'meta' / 'stats.json', {n: _listed(v) for n, v in whole.items()})
    write_json(part / 'meta' / 'info.json', _info(dataset, features, len(rows)))
    content = dataset.content_hash
    write_json(part / OWN, _own(dataset, content))
    part.rename(folder)
    return content


def read(folder: Path) -> Dataset:
    """Read a version that :func:`write` wrote.

    Raises:
        InputError: none there, or it was changed after it was written.
        ModuleNotFoundError: pyarrow is not installed.
    """
    import pyarrow.parquet as pq

    try:
        own = json.loads((folder / OWN).read_text(encoding='utf-8'))
        if own['schema'] != SCHEMA:
            raise ValueError(f'this version reads schema {SCHEMA}')
        paths = sorted(folder.glob('data/*/*.parquet'))
        names = ['episode_index', 'stamp', *(n for n, about in WIDE.items() if own.get(about))]
        tables = [pq.read_table(path, columns=names) for path in paths]
        columns = {n: np.concatenate([_array(table, n) for table in tables]) for n in names}
        dataset = _read(own, columns, paths)
    except (OSError, ValueError, KeyError, TypeError) as error:
        mend = f'give a data set that sim2real capture export wrote ({error})'
        raise InputError(Fault('dataset', str(folder), mend)) from error
    found = dataset.content_hash
    if found != own['content_hash']:
        mend = f'the content hashes to {found}: changed after it was written; export it anew'
        raise InputError(Fault('dataset', own['content_hash'], mend, str(folder)))
    return dataset


def _episodes(dataset: Dataset) -> Iterator[tuple[Case, Episode]]:
    for case in dataset.cases:
        for episode in case.episodes:
            yield case, episode


def _place(number: int) -> dict[str, int]:
    return {'chunk_index': number // CHUNK, 'file_index': number % CHUNK}


def _features(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Name of a column -> what it is, as ``info.json`` says it."""
    scalars = {
        'next.done': 'bool',
        'failure': 'bool',
        'stamp': 'int64',
        'timestamp': 'float32',
        'frame_index': 'int64',
        'episode_index': 'int64',
        'index': 'int64',
        'task_index': 'int64',
    }
    vectors = {name: list(getattr(dataset, about)) for name, about in WIDE.items()}
    return {
        **{
            name: {
                'dtype': 'float64' if name == 'command' else 'float32',
                'shape': [len(names)],
                'names': names,
            }
            for name, names in vectors.items()
            if names
        },
        **{column_of(image): feature_of(image) for image in dataset.images},
        **{name: {'dtype': kind, 'shape': [1], 'names': None} for name, kind in scalars.items()},
    }


def _columns(dataset: Dataset, case: Case, episode: Episode, number: int, first: int) -> Columns:
    count = len(episode.stamp)
    frame = np.arange(count)
    wide = {n: getattr(episode, about) for n, about in WIDE.items() if getattr(dataset, about)}
    return {
        **wide,
        'next.done': frame == count - 1,
        'failure': episode.stamp >= case.failed,
        'stamp': episode.stamp,
        'timestamp': (frame * dataset.period).astype(np.float32),
        'frame_index': frame,
        'episode_index': np.full(count, number),
        'index': first + frame,
        'task_index': np.zeros(count, np.int64),
    }


def _table(
    dataset: Dataset,
    episode: Episode,
    columns: Columns,
    features: Mapping[str, Mapping[str, Any]],
) -> tuple[Any, dict[str, Statistics]]:
    """An episode's rows, and the statistics of its images."""
    import pyarrow as pa

    arrays: dict[str, Any] = {}
    shown = {}
    for name, values in columns.items():
        values = np.ascontiguousarray(values.astype(features[name]['dtype']))
        if values.ndim == 2:
            # Lists of one length; a vector of one element is a scalar in that format.
            flat = pa.array(values.reshape(-1))
            width = values.shape[1]
            arrays[name] = flat if width == 1 else pa.FixedSizeListArray.from_arrays(flat, width)
        else:
            arrays[name] = pa.array(values)
    for image in dataset.images:
        name = column_of(image)
        files, shown[name] = files_of(episode.images[image.name], image, len(episode.stamp))
        empty = pa.nulls(len(files), pa.string())  # as it lies in no file of its own
        made = pa.StructArray.from_arrays([pa.array(files, pa.binary()), empty], ['bytes', 'path'])
        arrays[name] = made
    told = json.dumps({'info': {'features': {n: _kind(about) for n, about in features.items()}}})
    table = pa.table({name: arrays[name] for name in features}, metadata={'huggingface': told})
    return table, shown


def _kind(about: Mapping[str, Any]) -> dict[str, Any]:
    """A column as the `datasets` library calls it, who reads files without their ``info.json``."""
    if about['dtype'] == 'image':
        return {'_type': 'Image'}
    value = {'dtype': about['dtype'], '_type': 'Value'}
    width = about['shape'][0]
    return value if width == 1 else {'feature': value, 'length': width, '_type': 'Sequence'}


def _array(table: Any, name: str) -> npt.NDArray[Any]:
    """A column (n,) or (n, k)."""
    column = table.column(name).combine_chunks()
    if hasattr(column, 'flatten') and hasattr(column.type, 'list_size'):
        return np.asarray(column.flatten()).reshape(len(column), -1)
    return np.asarray(column)


def _row(
    dataset: Dataset, case: Case, columns: Columns, shown: Mapping[str, Statistics], file: int
) -> dict[str, Any]:
    """What the list of episodes says of one."""
    index = columns['index']
    place, own = _place(file), _place(0)
    found = {feature: _statistics(values) for feature, values in columns.items()} | dict(shown)
    statistics = {
        f'stats/{feature}/{name}': value
        for feature, about in found.items()
        for name, value in _listed(about).items()
    }
    return {
        'episode_index': int(columns['episode_index'][0]),
        'tasks': [dataset.task],
        'length': len(index),
        'clip': case.clip,
        'label': case.label,
        'detectors': list(case.detectors),
        'severity': case.severity,
        'data/chunk_index': place['chunk_index'],
        'data/file_index': place['file_index'],
        'dataset_from_index': int(index[0]),
        'dataset_to_index': int(index[-1]) + 1,
        **statistics,
        'meta/episodes/chunk_index': own['chunk_index'],
        'meta/episodes/file_index': own['file_index'],
    }


def _statistics(values: npt.NDArray[Any]) -> Statistics:
    """Of a column (n,) or (n, k)."""
    return vector_statistics(values.reshape(len(values), -1).astype(np.float64))


def _listed(statistics: Statistics) -> dict[str, Any]:
    return {name: values.tolist() for name, values in statistics.items()}


def _write_tasks(path: Path, task: str) -> None:
    """The one task, as pandas would write a frame that is indexed by ``task``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def column(name: str, kind: str, numpy: str) -> dict[str, Any]:
        about = {'name': name, 'field_name': name, 'pandas_type': kind, 'numpy_type': numpy}
        return {**about, 'metadata': None}

    pandas = {
        'index_columns': ['task'],
        'column_indexes': [],
        'columns': [column('task_index', 'int64', 'int64'), column('task', 'unicode', 'object')],
        'pandas_version': '2.0.0',
    }
    table = pa.table({'task_index': pa.array([0], pa.int64()), 'task': [task]})
    pq.write_table(table.replace_schema_metadata({'pandas': json.dumps(pandas)}), path)


def _info(dataset: Dataset, features: Mapping[str, Any], episodes: int) -> dict[str, Any]:
    rate = 1.0 / dataset.period
    return {
        'codebase_version': VERSION,
        'robot_type': dataset.robot,
        'total_episodes': episodes,
        'total_frames': dataset.frames,
        'total_tasks': 1,
        'chunks_size': CHUNK,
        'data_files_size_in_mb': FILE_MB,
        'video_files_size_in_mb': 200,
        'fps': round(rate) if abs(rate - round(rate)) < 1e-6 * rate else rate,
        'splits': {'train': f'0:{episodes}'},
        'data_path': DATA,
        'video_path': None,
        'features': dict(features),
    }


def _own(dataset: Dataset, content: str) -> dict[str, Any]:
    """All that the format has no place for; with the frames, it gives the data set back."""
    told = {f.name: getattr(dataset, f.name) for f in fields(Dataset) if f.name != 'cases'}
    return {
        'schema': SCHEMA,
        'content_hash': content,
        **told,
        'images': [asdict(image) for image in dataset.images],
        'cases': [
            {
                **{f.name: getattr(case, f.name) for f in fields(Case) if f.name != 'episodes'},
                'episodes': len(case.episodes),
                'pictures': [
                    {name: shown.sha256 for name, shown in episode.images.items()}
                    for episode in case.episodes
                ],
            }
            for case in dataset.cases
        ],
    }


def _read(own: Mapping[str, Any], columns: Columns, paths: Sequence[Path]) -> Dataset:
    told: dict[str, Any] = {f.name: own[f.name] for f in fields(Dataset) if f.name in own}
    lists = ('observation', 'action', 'command', 'parents', 'memory', 'repeats')
    told.update({name: tuple(told.get(name, ())) for name in lists})
    told['images'] = images = tuple(map(_image, own.get('images', ())))
    dataset = Dataset(**{**told, 'cases': ()})
    ends = np.searchsorted(columns['episode_index'], np.arange(_count(own['cases']) + 1))
    places = _row_groups(paths)
    cases, number = [], 0
    for about in own['cases']:
        about = dict(about)
        hashes = about.pop('pictures', [{}] * about['episodes'])
        parts = []
        for known in hashes:
            start, end = ends[number : number + 2]
            part = {n: v[start:end] for n, v in columns.items()}
            wide = {a: part[n].reshape(end - start, -1) for n, a in WIDE.items() if n in part}
            shown = {
                image.name: reread(
                    partial(_files, *places[number], column_of(image)),
                    image,
                    known[image.name],
                    places[number][0],
                )
                for image in images
            }
            parts.append(Episode(about['clip'], part['stamp'], **wide, images=shown))
            number += 1
        about['estimate'] = known_of(about, OWN).estimate
        case = {**about, 'detectors': tuple(about['detectors']), 'episodes': tuple(parts)}
        cases.append(Case(**case))
    return replace(dataset, cases=tuple(cases))


def _image(told: Mapping[str, Any]) -> ImageInput:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    return ImageInput(**values)


def _row_groups(paths: Sequence[Path]) -> list[tuple[Path, int]]:
    """Where each episode lies: file, and row group in it."""
    import pyarrow.parquet as pq

    return [(path, k) for path in paths for k in range(pq.read_metadata(path).num_row_groups)]


def _files(path: Path, group: int, column: str) -> Iterator[bytes]:
    """The images of an episode, as files."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for row in file.read_row_group(group, columns=[column]).column(column):
            yield row['bytes'].as_py()


def _count(cases: Sequence[Mapping[str, Any]]) -> int:
    return sum(int(case['episodes']) for case in cases)
