"""Measured tables: the columns of a CSV, Parquet or MATLAB file by name, as arrays."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Fault, Faults, InputError, MissingError

Array = npt.NDArray[np.float64]
DELIMITERS = (';', '\t', ',')
MISSING = {'', 'n/a', 'na', 'nan', 'null', 'none', '-', 'error'}
"""What stands for a number that is missing; a row of nothing else is none of units."""
EXACT = 2**53  # integers up to here are exact in floating point
_SEPARATOR = re.compile(r'"?sep=([;,\t])"?', re.IGNORECASE)
_INTEGER = re.compile(r'[+-]?\d{1,18}|[+-]?[1-8]\d{18}')
_INDEXED = re.compile(r'(.+)\[(\d+)\]')


class Table:
    """Columns; those of a MATLAB file may differ in length.

    Attributes:
        path: the file.
        columns: name to values (n,).
        lines: line of the file of each row, None where the file has no lines.
        integers: columns of integers that floating point rounds, like nanoseconds since 1970.
        texts: columns without any number, and what their first cell holds.
        notes: what was made of lines that hold no numbers.
    """

    def __init__(
        self,
        path: Path,
        columns: Mapping[str, Array],
        lines: list[int] | None = None,
        integers: Mapping[str, npt.NDArray[np.int64]] | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.columns = dict(columns)
        self.lines = lines
        self.integers = dict(integers or {})
        self.texts = dict(texts or {})
        self.notes: list[str] = []

    def find(self, name: str) -> Array | None:
        """A column (n,), or ``matrix[2]``: the third column of a matrix; None when not there."""
        column = self.columns.get(name)
        if column is not None and column.ndim == 1:
            return column
        indexed = _INDEXED.fullmatch(name)
        if indexed:
            matrix = self.columns.get(indexed[1])
            index = int(indexed[2])
            if matrix is not None and matrix.ndim == 2 and index < matrix.shape[1]:
                return np.ascontiguousarray(matrix[:, index])
        return None

    def known(self) -> str:
        """The columns' names, for messages."""
        return ', '.join(
            name if column.ndim == 1 else f'{name}[0] to {name}[{column.shape[1] - 1}]'
            for name, column in self.columns.items()
        )

    def place(self, row: int) -> str:
        """How a person finds a row in the file."""
        return f'line {self.lines[row]}' if self.lines else f'row {row + 1}'


def read_table(path: str | Path) -> Table:
    """Read ``.csv`` (also ``.tsv``, ``.txt``), ``.parquet`` or ``.mat``.

    CSV: separated by semicolons, tabs, commas or blanks; names in the first line (columns are
    numbered from 0 when it holds numbers), units perhaps in the second; lines that start with
    ``#`` or ``%`` are comments, the last of them before the data may hold the names; a decimal
    comma is understood where commas do not separate, and what a spreadsheet puts in front (a byte
    order mark, ``sep=;``). MATLAB: fields of structures are ``log.q``, columns of a matrix
    ``q[0]``, as is the first of a Parquet column of lists.

    Raises:
        InputError: unreadable; every column that holds something else than numbers is named.
        MissingError: pyarrow is not installed, which reads Parquet.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(Fault('file', str(path), 'no such file'))
    if path.suffix.lower() == '.mat':
        return _read_mat(path)
    if path.suffix.lower() in ('.csv', '.tsv', '.txt'):
        return _read_csv(path)
    if path.suffix.lower() == '.parquet':
        return _read_parquet(path)
    raise InputError(Fault('file', str(path), 'must end in .csv, .tsv, .txt, .parquet or .mat'))


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        mend = 'pyarrow, which reads Parquet: pip install pyarrow, or save the log as CSV'
        raise MissingError(mend) from error
    try:
        content = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(Fault('file', str(path), f'not a Parquet file ({error})')) from error
    columns, integers, texts = {}, {}, {}
    for name, column in zip(content.column_names, content.columns):
        if pa.types.is_timestamp(column.type):  # as nanoseconds since 1970
            try:
                column = column.cast(pa.timestamp('ns', column.type.tz)).cast(pa.int64())
            except pa.ArrowInvalid:  # nothing that nanoseconds reach
                texts[name] = str(column.type)
                continue
        kind = column.type
        if (
            pa.types.is_list(kind)
            or pa.types.is_large_list(kind)
            or pa.types.is_fixed_size_list(kind)
        ):
            try:
                columns[name] = np.array(column.to_pylist(), dtype=float)
            except (TypeError, ValueError):  # of several lengths, or of something else
                texts[name] = str(kind)
            continue
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            texts[name] = str(kind)
            continue
        columns[name] = column.cast(pa.float64(), safe=False).to_numpy()
        size = np.abs(columns[name])
        large = (size > EXACT).any() and (size < 2.0**63).all()
        if pa.types.is_integer(kind) and not column.null_count and large:
            integers[name] = column.cast(pa.int64()).to_numpy()
    return Table(path, columns, None, integers, texts)


def _read_mat(path: Path) -> Table:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path, simplify_cells=True)
    except NotImplementedError as error:
        mend = "a MATLAB 7.3 file; save it with save(..., '-v7'), or as CSV"
        raise InputError(Fault('file', str(path), mend)) from error
    except (MatReadError, ValueError, TypeError, OSError) as error:
        raise InputError(Fault('file', str(path), f'not a MATLAB file ({error})')) from error
    found: dict[str, Array] = {}
    _collect({k: v for k, v in content.items() if not k.startswith('__')}, '', found)
    longest = max((max(a.shape) for a in found.values()), default=0)
    if longest < 2:
        raise InputError(Fault('file', str(path), 'holds no series of numbers'))
    series = {array.size for array in found.values() if array.ndim == 1}
    return Table(path, {name: _upright(array, series) for name, array in found.items()})


def _upright(array: Array, series: set[int]) -> Array:
    """A matrix with samples as rows: along which there are series, else the longer way."""
    if array.ndim == 1:
        return array
    rows, columns = (length in series for length in array.shape)
    lies = columns if rows != columns else array.shape[1] > array.shape[0]
    return array.T if lies else array


def _collect(value: Any, name: str, found: dict[str, Array]) -> None:
    if isinstance(value, Mapping):
        for key, nested in value.items():
            _collect(nested, f'{name}.{key}' if name else str(key), found)
    elif (
        isinstance(value, np.ndarray)
        and value.ndim in (1, 2)
        and value.size
        and value.dtype.kind in 'buif'
    ):
        found[name] = value.astype(float)


def _read_csv(path: Path) -> Table:
    text = _text(path)
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    told = _SEPARATOR.fullmatch(lines[0][1].strip(' \r\n')) if lines else None
    lines = lines[1:] if told else lines
    comments = [(i, line) for i, line in lines if line.lstrip()[0] in '#%']
    data = [(i, line) for i, line in lines if line.lstrip()[0] not in '#%']
    notes: list[str] = []
    if len(data) < 2:
        raise InputError(Fault('file', str(path), 'holds no rows of numbers'))
    delimiter = told[1] if told else _delimiter(data[0][1])
    decimal = delimiter != ','

    def split(line: str) -> list[str]:
        if delimiter is None:
            return line.split()
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]

    names = split(data[0][1])
    if all(_number(cell, decimal) is not None for cell in names):
        before = [line for i, line in comments if i < data[0][0]]
        named = split(before[-1].lstrip(' #%')) if before else []
        names = named if len(named) == len(names) else [str(i) for i in range(len(names))]
    else:
        data = data[1:]
        line, cells = data[0][0], split(data[0][1])
        no_number = all(_number(cell, decimal) is None for cell in cells)
        if no_number and not {cell.lower() for cell in cells} <= MISSING:
            data = data[1:]
            notes.append(f'line {line} was taken for units: {", ".join(cells)}')
    if not data:
        raise InputError(Fault('file', str(path), 'holds no rows of numbers'))
    values = _plain(data, delimiter, decimal, len(names))
    if values is not None and len(set(names)) == len(names):
        table = Table(path, dict(zip(names, values.T)), [i for i, _ in data])
    else:
        table = _rows(path, names, [(i, split(line)) for i, line in data], decimal)
    table.notes = notes
    return table


def _plain(
    data: list[tuple[int, str]], delimiter: str | None, decimal: bool, width: int
) -> Array | None:
    """Rows of nothing but numbers, ten times as fast; None for what asks for a closer look."""
    text = [line.replace(',', '.') if decimal else line for _, line in data]
    try:
        values = np.loadtxt(text, delimiter=delimiter, ndmin=2, comments=None)
    except ValueError:
        return None
    exact = values.shape[1] == width and bool((np.abs(values) <= EXACT).all())
    return values if exact else None


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        wide = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        return data.decode('utf-16' if wide else 'utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        mend = f'not a readable text; save it as CSV in UTF-8 ({error})'
        raise InputError(Fault('file', str(path), mend)) from error


def _delimiter(line: str) -> str | None:
    """What separates the cells of a line; None for blanks."""
    delimiter = next((d for d in DELIMITERS if d in line), None)
    apart = [_number(cell, False) for cell in line.split(',')]
    if delimiter == ',' and None in apart and None not in map(_with_comma, line.split()):
        return None  # no numbers between commas, but between blanks
    return delimiter


def _rows(path: Path, names: list[str], rows: list[tuple[int, list[str]]], decimal: bool) -> Table:
    faults = Faults(str(path))
    for name in {name for name in names if names.count(name) > 1}:
        faults.add('header', name, 'each column needs a name of its own')
    values = np.full((len(rows), len(names)), np.nan)
    bad: dict[str, tuple[int, str]] = {}
    for k, (line, cells) in enumerate(rows):
        if len(cells) != len(names):
            faults.found.append(
                Fault('row', len(cells), f'must have {len(names)} cells', str(path), line)
            )
            break
        for j, cell in enumerate(cells):
            number = _number(cell, decimal)
            if number is None:
                bad.setdefault(names[j], (line, cell))
            else:
                values[k, j] = number
    faults.check()
    # A column of text is no fault while nobody asks for it; a number missing in one is.
    columns = {
        name: values[:, j] for j, name in enumerate(names) if np.isfinite(values[:, j]).any()
    }
    for name, (line, cell) in bad.items():
        if name in columns:
            faults.found.append(Fault(name, cell, 'must be a number', str(path), line))
    faults.check()
    large = [(name, j) for j, name in enumerate(names) if (np.abs(values[:, j]) > EXACT).any()]
    integers = {
        name: np.array([int(cells[j]) for _, cells in rows])
        for name, j in large
        if all(_INTEGER.fullmatch(cells[j]) for _, cells in rows)
    }
    texts = {name: f'{cell} in line {line}' for name, (line, cell) in bad.items()}
    return Table(path, columns, [line for line, _ in rows], integers, texts)


def _with_comma(cell: str) -> float | None:
    return _number(cell, True)


def _number(cell: str, decimal_comma: bool) -> float | None:
    try:
        return float(cell.replace(',', '.') if decimal_comma else cell)
    except ValueError:
        return None
