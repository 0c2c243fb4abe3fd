import json
import math

import numpy as np

from sim2real_core.files import write_json


def test_what_is_no_number_is_null(tmp_path):
    data = {'a': math.nan, 'b': [1.5, -math.inf, np.float64('nan')], 'c': ({'d': 2}, None)}
    write_json(tmp_path / 'x.json', data)
    text = (tmp_path / 'x.json').read_text()
    assert json.loads(text, parse_constant=lambda word: 1 / 0) == {
        'a': None, 'b': [1.5, None, None], 'c': [{'d': 2}, None]
    }  # fmt: skip
