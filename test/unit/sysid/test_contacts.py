"""Slides and bounces of known mechanics, and of hidden surfaces in the embedded simulator."""

import numpy as np
import pytest

from sim2real_sysid.contacts import (
    GRAVITY,
    assess,
    combine,
    find_impacts,
    find_slides,
    restitutions,
)

NOISE = 5e-4  # m, of a motion capture
RATE = 200.0
DAMPING = {0.2961: 0.5042, 0.5038: 0.2521, 0.9: 0.0358}
"""Damping ratios of a linear contact that ends with its force, by restitution."""


def slide(friction, speed=1.0, slope=0.0, way=(1.0, 0.0), push=True, rng=None, rate=RATE):
    """A body is pushed until it has a speed, let go, and slides to rest: stamps and positions."""
    slowing = GRAVITY * (np.sin(slope) + friction * np.cos(slope))
    stamp = np.arange(0.0, 1.0 + speed / slowing, 1.0 / rate)
    pushed = 0.15 if push else 0.0
    s, v, out = 0.0, 0.0 if push else speed, []
    for t in stamp:
        out.append(s)
        for _ in range(20):
            a = speed / pushed if t < pushed else -slowing
            v = max(v + a / rate / 20, 0.0) if t >= pushed else v + a / rate / 20
            s += v / rate / 20
    s = np.array(out)
    x, y = np.array(way) / np.linalg.norm(way)
    position = np.column_stack([x * s * np.cos(slope), y * s * np.cos(slope), s * np.sin(slope)])
    rng = rng or np.random.default_rng(0)
    return stamp, position + NOISE * rng.normal(size=position.shape)


def bounce(restitution, height=0.6, lasts=1.5, softness=0.0, rng=None, rate=RATE):
    """A ball falls and bounces; ``softness``: time of the contact [s], as of a linear spring."""
    stamp = np.arange(0.0, lasts, 1.0 / rate)
    z, v, out, fine, contact = height, 0.0, [], 1e-4, 0.0
    for t in stamp:
        while fine * len(out) < 0 or contact <= t:
            contact += fine
            if softness:
                w = np.pi / softness
                ratio = DAMPING[restitution]
                force = max(-(w**2) * z - 2.0 * ratio * w * v, 0.0) if z < 0 else 0.0
                v += (force - GRAVITY) * fine
                z += v * fine
                continue
            v -= GRAVITY * fine
            z += v * fine
            if z < 0.0 and v < 0.0:
                z, v = 0.0, -restitution * v if v < -0.02 else 0.0
        out.append(z)
    position = np.zeros((len(stamp), 3))
    position[:, 2] = out
    rng = rng or np.random.default_rng(0)
    return stamp, position + NOISE * rng.normal(size=position.shape)


def joined(*parts):
    """One recording of several, a second apart."""
    stamps, positions, begin = [], [], 0.0
    for stamp, position in parts:
        stamps.append(begin + stamp)
        positions.append(position)
        begin += stamp[-1] + 1.0
    return np.concatenate(stamps), np.concatenate(positions)


@pytest.mark.parametrize('friction', [0.1, 0.35, 0.9])
@pytest.mark.parametrize('slope', [0.0, 0.05, -0.06])
def test_friction_by_mechanics(friction, slope):
    rng = np.random.default_rng(1)
    parts = [slide(friction, 1.2, slope, way, rng=rng) for way in ((1, 0), (0.6, 0.8), (0, 1))]
    found = assess(*joined(*parts), 'floor')['parameters']['surface.floor.friction']
    assert found.status == 'identified'
    assert found.mean == pytest.approx(friction, rel=0.05)
    assert abs(found.mean - friction) < 4.0 * found.std


@pytest.mark.parametrize('rate', [100.0, 500.0])
def test_friction_at_other_rates(rate):
    found = find_slides(*slide(0.3, 1.2, rate=rate))
    assert len(found) == 1
    assert found[0].friction == pytest.approx(0.3, rel=0.05)
    assert found[0].speed == pytest.approx(1.2, rel=0.1)


@pytest.mark.parametrize('restitution', DAMPING)
@pytest.mark.parametrize('softness', [0.0, 0.015])
def test_restitution_by_mechanics(restitution, softness):
    rng = np.random.default_rng(2)
    heights = (0.3, 0.5, 0.8)
    parts = [bounce(restitution, h, softness=softness, rng=rng) for h in heights]
    found = assess(*joined(*parts), 'floor')['parameters']['surface.floor.restitution']
    assert found.status == 'identified'
    assert found.mean == pytest.approx(restitution, rel=0.1)


def test_drops_and_slides_in_one_recording_with_faults():
    parts = joined(slide(0.4, 1.3), bounce(0.7), slide(0.4, 1.0), bounce(0.7, 0.4))
    rng = np.random.default_rng(3)
    keep = np.sort(rng.choice(len(parts[0]), int(0.97 * len(parts[0])), replace=False))
    stamp, position = parts[0][keep], parts[1][keep]
    position[::97] = np.nan
    stamp[50], stamp[51] = stamp[51], stamp[50]
    found = assess(stamp, position, 'table')['parameters']
    assert found['surface.table.friction'].mean == pytest.approx(0.4, rel=0.05)
    assert found['surface.table.restitution'].mean == pytest.approx(0.7, rel=0.1)


def test_what_is_carried_by_hand_is_neither():
    rng = np.random.default_rng(4)
    stamp = np.arange(0.0, 10.0, 1.0 / RATE)
    position = np.column_stack(
        [0.3 * np.sin(2.0 * stamp), 0.2 * np.sin(3.1 * stamp), 0.5 + 0.3 * np.sin(2.6 * stamp)]
    )
    position += NOISE * rng.normal(size=position.shape)
    found = assess(stamp, position, 'floor')
    assert not found['impacts']
    assert found['parameters']['surface.floor.restitution'].status == 'not_identified'
    assert found['parameters']['surface.floor.friction'].status == 'not_identified'


def test_a_roll_without_slowing_is_no_slide():
    stamp = np.arange(0.0, 2.0, 1.0 / RATE)
    position = np.column_stack([0.5 * stamp, 0 * stamp, 0 * stamp])
    position += NOISE * np.random.default_rng(0).normal(size=position.shape)
    found = assess(stamp, position, 'floor')['parameters']['surface.floor.friction']
    assert found.status == 'not_identified'


def test_too_short_or_empty():
    assert find_slides(np.zeros(0), np.zeros((0, 3))) == []
    assert find_impacts(np.arange(5.0), np.zeros((5, 3))) == []
    assert restitutions([]) == []
    assert combine([], []) == (0.0, np.inf)


def test_an_outlier_does_not_count():
    mean, std = combine([0.3, 0.301, 0.299, 0.302, 0.9], [0.002] * 5)
    assert mean == pytest.approx(0.3005, abs=0.002)
    assert std < 0.01
    loose = combine([0.2, 0.3, 0.4], [0.001] * 3)[1]
    assert loose > 0.04


def simulated(friction, restitution, seed, slides, drops):
    """Poses of a slab that is pushed and of a ball that is dropped, in the embedded simulator."""
    from sim2real_sim.mujoco_world import MujocoWorld
    from sim2real_sim.verify.models import BALL, HEIGHT, LINK, MASS, SLAB
    from sim2real_sim.world import Pose

    rng = np.random.default_rng(seed)
    stamps, positions = [], []

    def step(world, steps, force=None):
        for k in range(steps):
            if force is not None:
                world.push('body', LINK, force)
            world.step(1)
            if k % 5 == 4:
                stamps.append(0.005 * (len(stamps) + 1))
                positions.append(world.state('body').pose.position)

    world = MujocoWorld()
    world.spawn('body', SLAB, Pose((0.0, 0.0, HEIGHT / 2)))
    world.apply('body', {f'surface.{LINK}.friction': friction})
    for _ in range(slides):
        world.set_pose('body', Pose((0.0, 0.0, HEIGHT / 2)))
        step(world, 300)
        way, speed = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.6, 1.5)
        push = MASS * (speed / 0.12 + friction * GRAVITY)
        step(world, 120, (push * np.cos(way), push * np.sin(way), 0.0))
        step(world, 5 * round(200.0 * (speed / friction / GRAVITY + 0.4)))
    world = MujocoWorld()
    world.spawn('body', BALL, Pose((0.0, 0.0, 1.0)))
    world.apply('body', {f'surface.{LINK}.restitution': restitution})
    for _ in range(drops):
        world.set_pose('body', Pose((0.0, 0.0, rng.uniform(0.3, 0.9))))
        step(world, 1500)
    position = np.array(positions)
    return np.array(stamps), position + NOISE * rng.normal(size=position.shape)


def judged(seed, slides, drops):
    """Relative errors of friction and restitution of a hidden surface."""
    rng = np.random.default_rng([seed, 5])
    truth = dict(friction=rng.uniform(0.1, 1.0), restitution=rng.uniform(0.2, 0.9))
    stamp, position = simulated(**truth, seed=seed, slides=slides, drops=drops)
    found = assess(stamp, position, 'floor')['parameters']
    return [abs(found[f'surface.floor.{what}'].mean / truth[what] - 1.0) for what in truth]


def test_a_hidden_surface():
    friction, restitution = judged(seed=100, slides=2, drops=1)
    assert friction < 0.05
    assert restitution < 0.1


@pytest.mark.soak
def test_twenty_hidden_surfaces():
    errors = np.array([judged(seed, slides=4, drops=4) for seed in range(20)])
    assert errors[:, 0].max() < 0.05
    assert errors[:, 1].max() < 0.1
