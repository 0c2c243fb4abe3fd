"""What realism costs beside the physics: a walking robot's 12 drives and 36 sensors, 4096 times.

A four-legged robot that stands and steps on the floor, every world different. The engine's own
steps are timed within the very same run; what is left of it is all else: state in and out, the
servo, the realism. The servo alone is measured first, since without it nothing moves, and
subtracted. Processor time counts, so that others on the machine do not.

``usual`` is what sim-to-real work on legged robots draws: gain, delay and lag of the drives,
torque-speed curve, static friction; noise, bias and delay of the sensors, pushes. ``everything``
is all models at once, for every joint and sensor, each with a value of its own.

    python benchmarks/realism.py [--json FILE]

The bar: everything at once costs at most 5 % of the physics' time (one thread).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BAR = 0.05
NSIM, RUNS, PERIODS, SUBSTEPS, TIMESTEP = 4096, 5, 2, 10, 0.002
LEGS = [(side, x, y) for side, x in (('front', 0.19), ('hind', -0.19)) for y in (1, -1)]
JOINTS = (('hip', 0.0), ('thigh', 0.8), ('calf', -1.5))


def box(mass: float, x: float, y: float, z: float, below: float = 0.0) -> str:
    """An inertial element: a box of this size, its middle so far below the link's origin."""
    xx, yy, zz = (mass * (a * a + b * b) / 12 for a, b in ((y, z), (x, z), (x, y)))
    return (
        f'<inertial><origin xyz="0 0 {-below}"/><mass value="{mass}"/><inertia '
        f'ixx="{xx}" iyy="{yy}" izz="{zz}" ixy="0" ixz="0" iyz="0"/></inertial>'
    )


def joint(name: str, parent: str, child: str, xyz: str, axis: str, limit: str) -> str:
    """A revolute joint."""
    return (
        f'<joint name="{name}" type="revolute"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{xyz}"/><axis xyz="{axis}"/><limit {limit}/></joint>'
    )


def quadruped(folder: Path):
    """A walking robot of 13 kg, as URDF and profile."""
    from sim2real_core.profile import load_profile

    parts = [
        '<robot name="quadruped"><link name="world"/><joint name="free" type="floating">'
        '<parent link="world"/><child link="trunk"/></joint>'
        f'<link name="trunk">{box(8, 0.4, 0.2, 0.12)}<collision><geometry>'
        '<box size="0.4 0.2 0.12"/></geometry></collision></link>'
    ]
    profile = []
    for side, x, y in LEGS:
        n = f'{side}_{"left" if y > 0 else "right"}'
        links = 'trunk', f'{n}_shoulder', f'{n}_upper', f'{n}_lower'
        origins = f'{x} {y * 0.06} 0', f'0 {y * 0.08} 0', '0 0 -0.2'
        limits = (
            'lower="-0.8" upper="0.8" effort="25" velocity="30"',
            'lower="-1" upper="3" effort="25" velocity="30"',
            'lower="-2.7" upper="-0.6" effort="35" velocity="30"',
        )
        for k, (name, pose) in enumerate(JOINTS):
            axis = '1 0 0' if k == 0 else '0 1 0'
            joined = f'{n}_{name}', links[k], links[k + 1], origins[k], axis, limits[k]
            parts.append(joint(*joined))
            profile.append(
                f'  {n}_{name}: {{stiffness: 40, damping: 1, armature: 0.01, '
                f'default_position: {pose}}}\n'
            )
        shapes = '<box size="0.03 0.03 0.2"/>', '<sphere radius="0.02"/>'
        bodies = (
            box(0.6, 0.06, 0.06, 0.06),
            box(1, 0.03, 0.03, 0.2, 0.1),
            box(0.2, 0.02, 0.02, 0.2, 0.1),
        )
        touches = '', (shapes[0], 0.1), (shapes[1], 0.2)
        for link, inertial, touch in zip(links[1:], bodies, touches, strict=True):
            parts.append(f'<link name="{link}">{inertial}')
            if touch:
                parts.append(
                    f'<collision><origin xyz="0 0 {-touch[1]}"/><geometry>{touch[0]}</geometry>'
                    '</collision>'
                )
            parts.append('</link>')
    (folder / 'quadruped.urdf').write_text(''.join([*parts, '</robot>']))
    (folder / 'quadruped.yaml').write_text(
        'name: quadruped\nurdf: quadruped.urdf\nbase_link: world\n'
        'command: {interface: position}\n'
        f'rates: {{timestep: {TIMESTEP}, joint_state_rate: 500}}\njoints:\n' + ''.join(profile)
    )
    return load_profile(folder / 'quadruped.yaml')


RANGES = {
    'actuator': {
        'gain': (0.9, 1.1),
        'time_constant': (0.001, 0.005),
        'natural_frequency': (200, 400),
        'damping_ratio': (0.5, 1.0),
        'delay': (0.0, 0.01),
        'dead_zone': (0.0, 0.005),
        'backlash': (0.0, 0.01),
        'compliance': (1e-4, 1e-3),
        'ripple': (0.0, 0.05),
        'ripple_periods': (6, 42),
        'no_load_speed': (25, 35),
        'wear': (0.0, 1e-4),
    },
    'joint': {'coulomb_friction': (0.1, 0.3), 'static_friction': (0.3, 0.5), 'wear': (0, 1e-4)},
    'sensor': {
        'noise': (0.001, 0.01),
        'bias': (-0.01, 0.01),
        'drift': (0.001, 0.01),
        'correlation_time': (10, 100),
        'scale': (0.99, 1.01),
        'delay': (0.0, 0.01),
        'jitter': (0.0, 0.004),
        'period': (0.002, 0.01),
        'saturation': (50, 100),
        'quantization': (0.0001, 0.001),
        'dropout': (0.0, 0.1),
    },
    'disturbance': {
        'period': (1, 5),
        'impulse': (1, 5),
        'duration': (0.05, 0.2),
        'drag_area': (0.05, 0.1),
    },
}


USUAL = {
    'actuator': ('gain', 'delay', 'time_constant', 'no_load_speed'),
    'joint': ('coulomb_friction', 'static_friction'),
    'sensor': ('noise', 'bias', 'delay'),
    'disturbance': ('period', 'impulse', 'duration'),
}


def worlds(profile, rng, kind: str) -> dict[str, np.ndarray]:
    """A draw of this kind, for every joint and sensor; what is disturbed is the trunk."""
    if kind == 'servo':
        return {}
    names = {
        'actuator': profile.joint_names,
        'joint': profile.joint_names,
        'sensor': [
            f'{j}_{m}' for j in profile.joint_names for m in ('position', 'velocity', 'effort')
        ],
        'disturbance': ['trunk'],
    }
    values = {}
    if kind == 'everything':
        values = {f'world.{q}': rng.uniform(0, 5, NSIM) for q in ('gust', 'wind.x')}
    for of, quantities in RANGES.items():
        for name in names[of]:
            for quantity, (low, high) in quantities.items():
                if kind == 'usual' and quantity not in USUAL[of]:
                    continue
                values[f'{of}.{name}.{quantity}'] = rng.uniform(low, high, NSIM)
    return values


class Timed:
    """The engine, with a stopwatch on its steps."""

    def __init__(self, step) -> None:
        self._step = step
        self.seconds = 0.0

    def __call__(self) -> None:
        start = time.process_time()
        self._step()
        self.seconds += time.process_time() - start


def main() -> int:
    """Measure, print, compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    arguments = parser.parse_args()
    from sim2real_core.files import write_json
    from sim2real_sim.mujoco_simulator import MujocoSimulator

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        profile = quadruped(Path(folder))
        simulator = MujocoSimulator(profile, NSIM)
    pose = profile.array('default_position')
    commands = [pose + rng.normal(0, 0.1, (NSIM, len(pose))) for _ in range(PERIODS)]
    engine = simulator.batch.step = Timed(simulator.batch.step)
    steps = PERIODS * SUBSTEPS
    shares: dict[str, float] = {}
    physics: list[float] = []
    for kind in ('servo', 'usual', 'everything'):
        simulator.apply(worlds(profile, rng, kind))
        simulator.reset()
        of_kind = []
        for run in range(RUNS + 2):
            engine.seconds, start = 0.0, time.process_time()
            for command in commands:
                simulator.command(command)
                simulator.step(SUBSTEPS)
                simulator.read()
            whole = time.process_time() - start
            if run >= 2:  # the first ones land, and fill what is drawn ahead
                of_kind.append((whole - engine.seconds) / engine.seconds)
                physics.append(engine.seconds / steps)
        shares[kind] = float(np.median(of_kind))
    assert not simulator.diverged.any()
    cost = {kind: shares[kind] - shares['servo'] for kind in ('usual', 'everything')}
    step, ok = float(np.median(physics)), cost['everything'] <= BAR
    if arguments.json:
        figures = {'cost': cost, 'servo': shares['servo'], 'physics_step': step}
        write_json(arguments.json, {**figures, 'nsim': NSIM, 'bar': BAR, 'ok': ok})
    print(f'physics: {1e3 * step:.0f} ms a step; servo alone: {100 * shares["servo"]:.1f} % of it')
    print(f'usual realism: {100 * cost["usual"]:.1f} %')
    print(
        f'all realism of {NSIM} x {len(pose)} joints: {100 * cost["everything"]:.1f} % of the '
        f'physics (bar {100 * BAR:g} %): {"ok" if ok else "MISSED"}'
    )
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
