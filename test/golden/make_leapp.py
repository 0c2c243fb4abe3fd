"""Writes ``leapp/``: what LEAPP itself exports of a policy, and what its own runtime makes of it.

A walking policy as Isaac Lab's exporter annotates it: states of the robot by their connections,
the last action and a history as feedback (the history starts with what was seen while tracing),
gains as static outputs. To write it anew (LEAPP is Apache-2.0, nothing of it is in the files)::

    pip install torch leapp==0.7.2
    python test/golden/make_leapp.py

``expected.npz`` holds the inputs of six steps and the targets of ``leapp.InferenceManager``.
"""

import shutil
from pathlib import Path

import leapp
import numpy as np
import torch
from leapp import GraphConfigs, InferenceManager, TensorSemantics, annotate
from leapp.utils.enums import InputKindEnum, OutputKindEnum

FOLDER = Path(__file__).with_name('leapp')
NODE = 'walk'
LEGS = ('front_left', 'front_right', 'rear_left', 'rear_right')
JOINTS = [
    f'{leg}_{part}' for part in ('abduction', 'hip', 'knee') for leg in LEGS
]  # Isaac's order
STEPS, HISTORY, HIDDEN = 6, 3, 8

STATES = {
    'robot_joint_pos': (InputKindEnum.JOINT_POSITION, JOINTS, 'state:robot:joint_pos'),
    'robot_joint_vel': (InputKindEnum.JOINT_VELOCITY, JOINTS, 'state:robot:joint_vel'),
    'robot_root_quat_w': (
        InputKindEnum.BODY_ROTATION, ['qx', 'qy', 'qz', 'qw'], 'state:robot:root_quat_w',
    ),
    'robot_root_ang_vel_b': (
        InputKindEnum.BODY_ANGULAR_VELOCITY, ['x', 'y', 'z'], 'state:robot:root_ang_vel_b',
    ),
    'base_velocity': (
        InputKindEnum.COMMAND_BODY_VELOCITY, ['lin_vel_x', 'lin_vel_y', 'ang_vel_z'],
        'command:base_velocity',
    ),
}  # fmt: skip


def gravity(quaternion):
    """The unit vector downward, in the frame of the body."""
    down = torch.tensor([[0.0, 0.0, -1.0]])
    axis, real = quaternion[:, :3], quaternion[:, 3:]
    twice = torch.cross(axis, down, dim=-1) * 2.0
    return down - real * twice + torch.cross(axis, twice, dim=-1)


def tick(network, given, history, last):
    """One step, annotated."""
    seen = {}
    for name, (kind, elements, connection) in STATES.items():
        about = TensorSemantics(
            name, given[name], kind=kind, element_names=elements,
            extra={'isaaclab_connection': connection},
        )  # fmt: skip
        seen[name] = annotate.input_tensors(NODE, about)
    position, velocity, quaternion, turning, wanted = seen.values()
    past = annotate.state_tensors(NODE, {'h_policy_joint_pos': history})
    past = torch.cat([past[1:], position.unsqueeze(0)], dim=0)
    past = annotate.update_state(NODE, {'h_policy_joint_pos': past})
    last = annotate.state_tensors(NODE, {'last_action': last})
    parts = [velocity, gravity(quaternion), turning, wanted]
    parts += [past.transpose(0, 1).reshape(1, -1), last]
    action = network(torch.cat(parts, dim=-1))
    annotate.update_state(NODE, {'last_action': action})
    gains = [
        TensorSemantics(f'joint_pos_{kind}_gains', value, kind=kind, element_names=JOINTS)
        for kind, value in (('kp', torch.full((1, 12), 25.0)), ('kd', torch.full((1, 12), 0.5)))
    ]
    about = TensorSemantics(
        'joint_pos', action * 0.25 + 0.1, kind=OutputKindEnum.JOINT_POSITION,
        element_names=JOINTS,
        extra={'isaaclab_connection': 'write:robot:set_joint_position_target_index'},
    )  # fmt: skip
    annotate.output_tensors(NODE, [about], static_outputs=gains, export_with='onnx-torchscript')


def drawn(rng):
    """Inputs of one step."""
    quaternion = rng.normal(size=4)
    values = {
        'robot_joint_pos': rng.normal(size=12),
        'robot_joint_vel': rng.normal(size=12),
        'robot_root_quat_w': quaternion / np.linalg.norm(quaternion),
        'robot_root_ang_vel_b': rng.normal(size=3),
        'base_velocity': rng.normal(size=3),
    }
    return {name: torch.tensor(value[None], dtype=torch.float32) for name, value in values.items()}


def main():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    size = 12 + 3 + 3 + 3 + HISTORY * 12 + 12
    network = torch.nn.Sequential(
        torch.nn.Linear(size, HIDDEN), torch.nn.ELU(), torch.nn.Linear(HIDDEN, 12)
    ).eval()
    leapp.start(NODE, save_path=str(FOLDER.parent / 'leapp_export'))
    with torch.no_grad():
        given = drawn(rng)
        history = given['robot_joint_pos'].expand(HISTORY, 1, 12).clone()
        tick(network, given, history, torch.zeros(1, 12))
    leapp.stop()
    leapp.compile_graph(visualize=False, graph_configs=GraphConfigs(frequency=50))
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.move(FOLDER.parent / 'leapp_export' / NODE, FOLDER)
    shutil.rmtree(FOLDER.parent / 'leapp_export')
    (FOLDER / 'log.txt').unlink()
    runtime, record = InferenceManager(str(FOLDER / f'{NODE}.yaml')), {}
    for step in range(STEPS):
        given = drawn(rng)
        made = runtime.run_policy({f'{NODE}/{name}': value for name, value in given.items()})
        record |= {f'{step}/{name}': value.numpy()[0] for name, value in given.items()}
        record[f'{step}/target'] = made[f'{NODE}/joint_pos'].numpy()[0]
    np.savez_compressed(FOLDER / 'expected.npz', joints=JOINTS, **record)


if __name__ == '__main__':
    main()
