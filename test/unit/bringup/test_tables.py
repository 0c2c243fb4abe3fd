"""Measured tables, as people save them."""

import numpy as np
import pytest
from scipy.io import savemat

from sim2real_bringup.tables import read_table
from sim2real_core.errors import InputError


def csv(tmp_path, text, name='log.csv'):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    'text, columns',
    [
        ('t,q\n0,1\n0.1,2\n', {'t': [0, 0.1], 'q': [1, 2]}),
        ('t;q\n0;1,5\n0,1;2\n', {'t': [0, 0.1], 'q': [1.5, 2]}),
        ('t\tq\n0\t1e-3\n1\t-2\n', {'t': [0, 1], 'q': [1e-3, -2]}),
        ('t q\n0   1\n1 2\n', {'t': [0, 1], 'q': [1, 2]}),
        ('0,1\n0.1,2\n', {'0': [0, 0.1], '1': [1, 2]}),
        ('# a log\n# t, q\n0,1\n0.1,2\n', {'t': [0, 0.1], 'q': [1, 2]}),
        ('0,0 1,5\n0,1 2,5\n', {'0': [0, 0.1], '1': [1.5, 2.5]}),
        ('0, 1\n0.1, 2\n', {'0': [0, 0.1], '1': [1, 2]}),
        ('% made by hand\n0 1\n1 2\n', {'0': [0, 1], '1': [1, 2]}),
        ('\ufefft,q\r\n\r\n0,1\r\n1,2\r\n', {'t': [0, 1], 'q': [1, 2]}),
        ('t,"joint, left"\n0,1\n1,2\n', {'t': [0, 1], 'joint, left': [1, 2]}),
        ('sep=;\nt;q\n0;1,5\n1;2\n', {'t': [0, 1], 'q': [1.5, 2]}),
        ('sep=\t\nt\tq\n0\t1,5\n1\t2\n', {'t': [0, 1], 'q': [1.5, 2]}),
        ('t;q\n[s];[rad]\n0;1,5\n1;2\n', {'t': [0, 1], 'q': [1.5, 2]}),
        ('t,note,q\n0,start,1\n1,,2\n', {'t': [0, 1], 'q': [1, 2]}),
    ],
)
def test_csv(tmp_path, text, columns):
    table = read_table(csv(tmp_path, text))
    assert set(table.columns) == set(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(table.find(name), values)


def test_text_of_a_spreadsheet_may_be_wide(tmp_path):
    (tmp_path / 'log.csv').write_bytes('t\tq\r\n0\t1\r\n1\t2\r\n'.encode('utf-16'))
    np.testing.assert_array_equal(read_table(tmp_path / 'log.csv').find('q'), [1, 2])


def test_another_encoding_is_refused_with_what_to_do(tmp_path):
    (tmp_path / 'log.csv').write_bytes('t,Größe\n0,1\n1,2\n'.encode('latin-1'))
    with pytest.raises(InputError, match='save it as CSV in UTF-8'):
        read_table(tmp_path / 'log.csv')


def test_every_bad_column_is_named_with_its_line(tmp_path):
    path = csv(tmp_path, '# log\nt,q,p\n0,1,1\n1,oops,2\n\n2,,x\n')
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert [(f.field, f.value, f.line) for f in caught.value.faults] == [
        ('q', 'oops', 4),
        ('p', 'x', 6),
    ]


@pytest.mark.parametrize(
    'text, message',
    [
        ('t,q\n0,1\n1\n', r'log.csv:3: row = 1: must have 2 cells'),
        ('t,t\n0,1\n1,2\n', 'a name of its own'),
        ('t,q\n', 'no rows'),
        ('', 'no rows'),
    ],
)
def test_wrong_csv(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_table(csv(tmp_path, text))


@pytest.mark.parametrize(
    'row, units',
    [
        ('s,rad', True),
        ('s,-', True),
        ('s,', True),
        (',', False),
        ('n/a,error', False),
        ('-,NULL', False),
    ],
)
def test_a_line_taken_for_units_is_told_and_a_missing_row_is_none(tmp_path, row, units):
    path = csv(tmp_path, f'# log\nt,q\n{row}\n0,1\n1,2\n')
    if units:
        (note,) = read_table(path).notes
        assert note.startswith('line 3 was taken for units: s, ')
    else:
        with pytest.raises(InputError) as caught:
            read_table(path)
        assert [(fault.field, fault.line) for fault in caught.value.faults] == [('t', 3), ('q', 3)]


def test_parquet(tmp_path):
    pa, pq = pytest.importorskip('pyarrow'), pytest.importorskip('pyarrow.parquet')
    stamps = [1_700_000_000_123_456_789, 1_700_000_000_123_456_790]
    columns = {
        'time': pa.array(stamps, pa.timestamp('ns')),
        'q': [[1.0, 2.0], [3.0, 4.0]],
        'effort': pa.array([0.5, None], pa.float32()),
        'uneven': [[1.0], [1.0, 2.0]],
        'mode': ['on', 'off'],
    }
    path = tmp_path / 'log.parquet'
    pq.write_table(pa.table(columns), path)
    table = read_table(path)
    assert table.integers['time'].tolist() == stamps
    assert table.find('q[1]').tolist() == [2.0, 4.0]
    assert table.find('effort').tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    assert set(table.texts) == {'uneven', 'mode'}
    assert table.place(1) == 'row 2'
    path.write_bytes(b'PAR1 is not all of it')
    with pytest.raises(InputError, match='not a Parquet file'):
        read_table(path)


def test_mat(tmp_path):
    path = tmp_path / 'log.mat'
    q = np.arange(15.0).reshape(5, 3)
    savemat(
        path, {'t': np.arange(5.0)[:, None], 'log': {'q': q, 'wide': q.T}, 'k': 3, 'note': 'x'}
    )
    table = read_table(path)
    np.testing.assert_array_equal(table.find('t'), np.arange(5.0))
    np.testing.assert_array_equal(table.find('log.q[1]'), q[:, 1])
    np.testing.assert_array_equal(table.find('log.wide[2]'), q[:, 2])
    assert table.find('log.q') is None and table.find('log.q[3]') is None
    assert table.find('k') is None
    assert 'log.q[0] to log.q[2]' in table.known()


def test_mat_of_several_lengths(tmp_path):
    path = tmp_path / 'log.mat'
    savemat(
        path, {'t': np.arange(100.0), 'q': np.ones((3, 100)), 'calibration': np.zeros((200, 3))}
    )
    table = read_table(path)
    assert [table.find(n).shape for n in ('t', 'q[2]', 'calibration[2]')] == [
        (100,),
        (100,),
        (200,),
    ]


def test_mat_that_is_none(tmp_path):
    path = tmp_path / 'log.mat'
    path.write_bytes(b'MATLAB 7.3 MAT-file' + b' ' * 105 + b'\x00\x02IM' + bytes(400))
    with pytest.raises(InputError, match='-v7'):
        read_table(path)
    path.write_bytes(b'rubbish')
    with pytest.raises(InputError, match='not a MATLAB file'):
        read_table(path)
    savemat(path, {'k': 3})
    with pytest.raises(InputError, match='no series'):
        read_table(path)


def test_other_files(tmp_path):
    with pytest.raises(InputError, match='no such file'):
        read_table(tmp_path / 'none.csv')
    with pytest.raises(InputError, match='must end in'):
        read_table(csv(tmp_path, 'x', 'log.xlsx'))
    (tmp_path / 'bytes.csv').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(InputError, match='not a readable text'):
        read_table(tmp_path / 'bytes.csv')
