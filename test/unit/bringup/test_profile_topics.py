"""Topics of a profile are relative, so that namespaces and bags work with them."""

import pytest
import yaml

from sim2real_core.errors import InputError
from sim2real_core.files import find
from sim2real_core.profile import load_profile


@pytest.mark.parametrize('topic', ['/joint_states', '~/states', 'states/', '', '7up', 'a b'])
@pytest.mark.parametrize(
    'section, name', [('topics', 'joint_states'), ('topics', 'goal'), ('command', 'topic')]
)
def test_other_topics_are_refused(tmp_path, section, name, topic):
    shipped = find('robots', 'slider')
    data = yaml.safe_load(shipped.read_text())
    data['urdf'] = str((shipped.parent / data['urdf']).resolve())
    data.setdefault(section, {})[name] = topic
    text = yaml.safe_dump(data)
    (tmp_path / 'robot.yaml').write_text(text)
    with pytest.raises(InputError) as caught:
        load_profile(tmp_path / 'robot.yaml')
    (fault,) = caught.value.faults
    assert (fault.field, fault.value) == (f'{section}.{name}', topic)
    assert f' {name}:' in text.splitlines()[fault.line - 1]
