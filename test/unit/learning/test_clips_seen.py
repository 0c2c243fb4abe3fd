"""Clips of policies that see images or remember: what they saw and remembered is found again."""

import hashlib
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from sim2real_core.errors import InputError
from sim2real_learning.clips import read_clip
from sim2real_learning.clips_episodes import derive
from sim2real_learning.clips_images import read_cameras
from sim2real_learning.network import Network
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata, RecurrentState, write_bundle
from sim2real_policy.images import ImageInput
from sim2real_policy.observation import Term
from sim2real_sim.mujoco_simulator import MujocoSimulator
from test.recorded import Stack, image, packed

PERIOD = 20_000_000
HIDDEN = 8
CAMERA = ImageInput(
    name='camera', topic='front/image', height=6, width=8, encoding='rgb8', scale=1 / 255
)
MEMORY = RecurrentState(input='h', output='h2', shape=(1, HIDDEN))
PLAIN = (Term(kind='joint_position'), Term(kind='joint_velocity', scale=0.1))


def policy(profile, path, *, forgets=0.5, sees=None, terms=PLAIN, gain=0.3):
    """h' = tanh(observation U + image W + forgets h); action = h' V."""
    meta = BundleMetadata.for_robot(
        profile,
        terms,
        Action(meaning='delta', scale=(0.01,) * len(profile.joints), clip=0.8),
        images=() if sees is None else (sees,),
        state=() if forgets is None else (MEMORY,),
    )
    rng = np.random.default_rng(5)
    size, actions = meta.observation.size, len(profile.joints)
    pixels = 0 if sees is None else int(np.prod(sees.shape))

    def weights(name, *shape, scale=1.0):
        values = rng.normal(0.0, scale / np.sqrt(shape[0]), shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    held = [weights('u', size, HIDDEN), weights('v', HIDDEN, actions, scale=gain)]
    ends = {'obs': [1, size]}
    nodes, parts = [helper.make_node('MatMul', ['obs', 'u'], ['felt'])], ['felt']
    if pixels:
        held.append(weights('w', pixels, HIDDEN, scale=3.0))
        ends['camera'] = [1, *sees.shape]
        nodes.append(helper.make_node('Flatten', ['camera'], ['flat'], axis=1))
        nodes.append(helper.make_node('MatMul', ['flat', 'w'], ['looked']))
        parts.append('looked')
    if forgets is not None:
        held.append(numpy_helper.from_array(np.array([forgets], np.float32), 'k'))
        ends['h'] = [1, HIDDEN]
        nodes.append(helper.make_node('Mul', ['h', 'k'], ['kept']))
        parts.append('kept')
    nodes += [
        helper.make_node('Sum', parts, ['all']),
        helper.make_node('Tanh', ['all'], ['h2']),
        helper.make_node('MatMul', ['h2', 'v'], ['act']),
    ]
    outputs = {'act': [1, actions]} | ({} if forgets is None else {'h2': [1, HIDDEN]})

    def infos(of):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in of.items()]

    graph = helper.make_graph(nodes, 'net', infos(ends), infos(outputs), held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    return write_bundle(model.SerializeToString(), meta, path)


class Seeing(Stack):
    """Remembers what its network was shown and remembered; a camera whose images come late.

    The policy has an image at once; the recorder hears of it up to 20 ms later.
    """

    def __init__(self, *given, every=33_000_000, codec='', **options):
        super().__init__(*given, **options)
        self.every, self.codec = every, codec
        self.rng = np.random.default_rng(7)
        self.shown, self.remembered = {}, {}
        self.look_at = 0
        self.pixels = None

    def sample(self):
        if self.bundle.meta.images and self.stamp >= self.look_at:
            self.look_at = self.stamp + self.every
            self.look()
        super().sample()

    def look(self):
        self.pixels = self.rng.integers(0, 256, (CAMERA.height, CAMERA.width, 3), np.uint8)
        late = int(self.rng.integers(0, 20_000_000))
        data, message = image(self.stamp, self.pixels, 'rgb8')
        taken = CAMERA.usable(message)
        CAMERA.fill(taken, self.controller.images['camera'][0])
        self.controller.sense('camera', self.stamp * 1e-9, {})
        topic, kind = '/front/image', 'sensor_msgs/msg/Image'
        if self.codec:
            topic, kind = f'{topic}/compressed', 'sensor_msgs/msg/CompressedImage'
            data = packed(self.stamp, self.pixels, self.codec)
        self.capture.record(topic, kind, data, self.stamp + late)

    def act(self):
        runtime = self.controller._runtime
        self.remembered[self.stamp] = np.concatenate(
            [[], *(before.ravel().copy() for before, _ in runtime._memory)]
        ).astype(np.float32)
        self.shown[self.stamp] = self.pixels
        super().act()


@pytest.fixture
def seeing(arm6, tmp_path):
    """Makes a robot whose policy sees or remembers, and records it; the stack and the clip."""

    def make(seconds, codec='', **given):
        bundle = policy(arm6, tmp_path / 'policy.onnx', **given)
        simulator = MujocoSimulator(arm6, contacts=False, seed=2)
        run = Seeing(arm6, bundle, tmp_path / f'spool{codec}', simulator, codec=codec)
        run.run(seconds)
        run.trigger()
        (folder,) = run.run(0.6).clips()
        return run, read_clip(folder, arm6), Network(bundle)

    return make


def assert_same(found, run):
    """Every frame is, bit for bit, what the network had."""
    count = 0
    for episode in found.episodes:
        shown = episode.images['camera'].read() if episode.images else iter(())
        for k, stamp in enumerate(episode.stamp.tolist()):
            assert episode.observation[k].tobytes() == run.seen[stamp].tobytes()
            assert episode.memory[k].tobytes() == run.remembered[stamp].tobytes()
            if episode.images:
                np.testing.assert_array_equal(next(shown), run.shown[stamp])
            count += 1
        assert next(shown, None) is None
    return count


def test_a_memory_is_exact_from_where_the_policy_began(seeing, arm6):
    terms = (*PLAIN, Term(kind='previous_action'))
    run, clip, network = seeing(0.5, forgets=1.0, terms=terms)  # it never forgets
    found = derive(clip, arm6, network)
    assert (found.unknown, found.disagreeing, found.untold) == (0, 0, 0)
    assert found.exact == found.settled == 0 and assert_same(found, run) == found.frames > 40


def test_a_memory_that_forgets_is_known_once_it_does_what_the_robot_did(seeing, arm6):
    run, clip, network = seeing(2.0, forgets=0.3)
    found = derive(clip, arm6, network)
    begin = int(clip.states.stamp[0])
    assert begin > 0 and found.exact is None
    assert 0 < found.untold < 15 and found.settled - begin < 15 * PERIOD
    (episode,) = found.episodes
    assert len(episode.stamp) == found.frames - found.untold
    for stamp, memory in zip(episode.stamp.tolist(), episode.memory):
        np.testing.assert_allclose(memory, run.remembered[stamp], rtol=1e-3, atol=1e-5)
    # Soon no bit is left of how it began.
    last = int(episode.stamp[-1])
    assert episode.memory[-1].tobytes() == run.remembered[last].tobytes()


def test_a_memory_that_never_forgets_is_not_guessed(seeing, arm6):
    _, clip, network = seeing(2.0, forgets=1.0)
    found = derive(clip, arm6, network)
    assert not found.episodes and found.untold == found.frames > 50
    assert found.exact is None and found.settled is None


@pytest.mark.parametrize('forgets', [None, 0.3])
@pytest.mark.parametrize('shows', [False, True])
def test_images_are_those_the_policy_had(seeing, arm6, forgets, shows):
    """Told by the command that followed, or by the action that the next observation shows."""
    terms = (*PLAIN, *[Term(kind='previous_action')] * shows)
    run, clip, network = seeing(1.5, forgets=forgets, sees=CAMERA, terms=terms)
    found = derive(clip, arm6, network)
    assert found.disagreeing == 0 and found.untold + found.unknown < 20
    kept = sum(len(episode.stamp) for episode in found.episodes)
    assert kept > found.frames - 20 > 40
    if forgets is None:
        assert assert_same(found, run) == kept
    else:
        for episode in found.episodes:
            for stamp, pixels in zip(episode.stamp.tolist(), episode.images['camera'].read()):
                np.testing.assert_array_equal(pixels, run.shown[stamp])


def test_what_is_not_in_the_clip_is_named(seeing, arm6):
    _, clip, network = seeing(0.5, forgets=None, sees=CAMERA)

    def refused(**changed):
        with pytest.raises(InputError) as error:
            derive(type(clip)(**{**vars(clip), **changed}), arm6, network)
        return str(error.value)

    topics = dict(clip.manifest['topics'])
    about = topics.pop('/front/image')
    manifest = dict(clip.manifest)
    assert 'add it to the capture node' in refused(manifest={**manifest, 'topics': topics})
    assert 'stayed on the robot' in refused(
        manifest={**manifest, 'topics': topics, 'private': {'/front/image': 3}}
    )
    assert 'lacks 7 of its messages' in refused(
        manifest={**manifest, 'thinned_out': {'/front/image': 7}}
    )
    other = {**topics, '/front/image': {**about, 'type': 'sensor_msgs/msg/PointCloud2'}}
    assert 'that is no image' in refused(manifest={**manifest, 'topics': other})
    assert 'policy/observation' in refused(labels=())


def test_images_that_were_compressed_count_where_nothing_was_lost(seeing, arm6):
    run, clip, network = seeing(1.5, forgets=None, sees=CAMERA, codec='png')
    found = derive(clip, arm6, network)
    assert found.untold < 20 and assert_same(found, run) > 40
    _, clip, network = seeing(1.5, forgets=None, sees=CAMERA, codec='jpeg')
    with pytest.raises(InputError, match='compress it but as PNG'):
        derive(clip, arm6, network)


def test_a_damaged_image_is_one_image_less(seeing, arm6, monkeypatch):
    made, whole = [], packed

    def damaged(*given):
        made.append(whole(*given))
        if len(made) == 30:  # in its header
            start = made[-1].index(b'IHDR')
            return made[-1].replace(made[-1][start : start + 8], bytes(8))
        return made[-1]

    monkeypatch.setattr(f'{__name__}.packed', damaged)
    terms = (*PLAIN, Term(kind='previous_action'))
    run, clip, network = seeing(1.5, forgets=None, sees=CAMERA, terms=terms, codec='png')
    found = derive(clip, arm6, network)
    assert len(found.episodes) == 2  # what saw it is left out
    assert found.unknown + found.untold < 20 and assert_same(found, run) > 40


def test_the_images_of_a_clip_are_never_all_in_memory(monkeypatch):
    height, width, count, apart = 100, 200, 300, 20_000_000
    eye = ImageInput(name='eye', topic='/eye', height=height, width=width, encoding='rgb8')
    size = height * width * 3

    def messages(folder, wanted):
        for k in range(count):
            data = np.full(size, k // 2 % 256, np.uint8)  # each image comes twice
            about = dict(height=height, width=width, step=3 * width, is_bigendian=0)
            yield '/eye', k * apart, SimpleNamespace(encoding='rgb8', data=data, **about)

    monkeypatch.setattr('sim2real_learning.clips_images.messages', messages)
    manifest = {'topics': {'/eye': {'type': 'sensor_msgs/msg/Image'}}}
    clip = SimpleNamespace(folder=Path('clip'), manifest=manifest, resolved=lambda topic: topic)
    tracemalloc.start()
    try:
        (camera,) = read_cameras(clip, [eye])
        for k in range(3, count):
            numbers, whole = camera.choices(k * apart, k * apart)
            assert whole and numbers[0] == k and len({n // 2 for n in numbers}) == len(numbers)
            for number in numbers:
                assert (camera.seen(number) == number // 2 % 256).all()
        shown = [7, 7, 200, 3]  # also back to the beginning
        made = camera.pictures(shown)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [int(pixels[0, 0, 0]) for pixels in made.read()] == [n // 2 for n in shown]
    expected = [np.full(size, n // 2, np.uint8).tobytes() for n in shown]
    assert made.sha256 == hashlib.sha256(b''.join(expected)).hexdigest()
    # Of 300 images 16 as they are, and 16 as the network sees them, which is four times as large.
    assert peak < 100 * size


def test_images_of_another_size_are_none_of_the_policys(seeing, arm6, tmp_path):
    _, clip, _ = seeing(0.5, forgets=None, sees=CAMERA)
    wide = ImageInput(name='camera', topic='front/image', height=6, width=9, encoding='rgb8')
    other = Network(policy(arm6, tmp_path / 'wide.onnx', forgets=None, sees=wide))
    with pytest.raises(InputError, match='no image of 6 x 9 rgb8'):
        derive(clip, arm6, other)
