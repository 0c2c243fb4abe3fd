import json
import math
import os

import numpy as np

from sim2real_core.files import write_json


def test_what_is_no_number_is_null(tmp_path):
    data = {'a': math.nan, 'b': [1.5, -math.inf, np.float64('nan')], 'c': ({'d': 2}, None)}
    write_json(tmp_path / 'x.json', data)
    text = (tmp_path / 'x.json').read_text()
    assert json.loads(text, parse_constant=lambda word: 1 / 0) == {
        'a': None, 'b': [1.5, None, None], 'c': [{'d': 2}, None]
    }  # fmt: skip


def test_what_is_no_file_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_json(pipe, {'a': 1})
    assert pipe.is_fifo() and json.loads(os.read(reader, 100)) == {'a': 1}
    os.close(reader)
