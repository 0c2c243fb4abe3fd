"""Every node of the suite: where it lives, what it says and hears, how it is set.

Stacks are built from it and the documentation's tables are generated from it; a test holds it
against the running nodes. Topic names are relative; ``{command}``, ``{joint_states}``,
``{imu}`` and ``{goal}`` stand for the names in the robot profile.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

from sim2real_core.config import Config
from sim2real_core.profile import RobotProfile


@dataclass(frozen=True)
class Topic:
    """A topic: its name, its message type and whether a late subscriber gets the last message."""

    name: str
    type: str
    latched: bool = False


CLOCK = Topic('clock', 'rosgraph_msgs/msg/Clock')
JOINT_STATES = Topic('{joint_states}', 'sensor_msgs/msg/JointState')
IMU = Topic('{imu}', 'sensor_msgs/msg/Imu')
ODOMETRY = Topic('{odometry}', 'nav_msgs/msg/Odometry')
COMMAND = Topic('{command}', 'std_msgs/msg/Float64MultiArray')
GOAL = Topic('{goal}', 'geometry_msgs/msg/PoseStamped', latched=True)
VELOCITY_GOAL = Topic('{velocity_goal}', 'geometry_msgs/msg/Twist')
EMERGENCY_STOP = Topic('emergency_stop', 'std_msgs/msg/Bool')
OVERRIDE = Topic('policy/override', 'std_msgs/msg/Float64MultiArray')
OVERRIDE_WEIGHT = Topic('policy/override_weight', 'std_msgs/msg/Float64')
OBSERVATION = Topic('policy/observation', 'std_msgs/msg/Float64MultiArray')
ACTION_APPLIED = Topic('policy/action_applied', 'sensor_msgs/msg/JointState')
ACTION_SHADOW = Topic('policy/action_shadow', 'sensor_msgs/msg/JointState')
DRAW_REQUEST = Topic('simulator/draw', 'diagnostic_msgs/msg/DiagnosticArray')
DRAW_APPLIED = Topic('simulator/draw_applied', 'diagnostic_msgs/msg/DiagnosticArray')
DRAW = Topic('randomizer/draw', 'diagnostic_msgs/msg/DiagnosticArray', latched=True)
ESTIMATE = Topic('sysid/estimate', 'diagnostic_msgs/msg/DiagnosticArray', latched=True)
EVENTS = Topic('capture/events', 'diagnostic_msgs/msg/DiagnosticArray')
BEHIND_JOINT_STATES = Topic('raw/{joint_states}', 'sensor_msgs/msg/JointState')
BEHIND_IMU = Topic('raw/{imu}', 'sensor_msgs/msg/Imu')
BEHIND_COMMAND = Topic('raw/{command}', 'std_msgs/msg/Float64MultiArray')
BEHIND_DRAW_REQUEST = Topic('raw/simulator/draw', 'diagnostic_msgs/msg/DiagnosticArray')
BEHIND_DRAW_APPLIED = Topic('raw/simulator/draw_applied', 'diagnostic_msgs/msg/DiagnosticArray')
PACE = Topic('pace', 'std_msgs/msg/Header', latched=True)
DIAGNOSTICS = Topic('/diagnostics', 'diagnostic_msgs/msg/DiagnosticArray')
MARKERS = Topic('sim2real/markers', 'visualization_msgs/msg/MarkerArray')
DESCRIPTION = Topic('robot_description', 'std_msgs/msg/String', latched=True)
TF = Topic('tf', 'tf2_msgs/msg/TFMessage')
TF_STATIC = Topic('tf_static', 'tf2_msgs/msg/TFMessage', latched=True)
IMAGE = Topic('camera/image_raw', 'sensor_msgs/msg/Image')
CAMERA_INFO = Topic('camera/camera_info', 'sensor_msgs/msg/CameraInfo')


@dataclass(frozen=True, kw_only=True)
class NodeKind:
    """A node.

    Attributes:
        name: of its executable, and of the node unless the purpose says another one.
        module: Python module that runs it (``python -m``).
        settings: its Config class, ``module:Class``.
        purpose: one line for people.
        publishes: topics it publishes (``/diagnostics`` apart, which all do).
        subscribes: topics it listens to.
        services: service name to type.
        makes_time: publishes the clock, so it must not listen to one.
        finishes: ends by itself when its work is done.
    """

    name: str
    module: str
    settings: str
    purpose: str
    publishes: tuple[Topic, ...] = ()
    subscribes: tuple[Topic, ...] = ()
    services: tuple[tuple[str, str], ...] = ()
    makes_time: bool = False
    finishes: bool = False

    def config(self) -> type[Config]:
        """The class of its parameters."""
        module, _, name = self.settings.partition(':')
        found: type[Config] = getattr(importlib.import_module(module), name)
        return found


TRIGGER = 'std_srvs/srv/Trigger'
NODES: Mapping[str, NodeKind] = {
    kind.name: kind
    for kind in (
        NodeKind(
            name='simulator',
            module='sim2real_sim.node',
            settings='sim2real_sim.config:SimulatorConfig',
            purpose='the robot in the embedded simulator, with actuator and sensor realism',
            publishes=(
                CLOCK, JOINT_STATES, IMU, ODOMETRY, TF, TF_STATIC, DESCRIPTION, IMAGE,
                CAMERA_INFO, DRAW_APPLIED,
            ),
            subscribes=(COMMAND, DRAW_REQUEST, PACE),
            services=(
                ('simulator/reset', TRIGGER),
                ('simulator/pause', 'std_srvs/srv/SetBool'),
                ('simulator/step', TRIGGER),
            ),
            makes_time=True,
        ),
        NodeKind(
            name='gazebo_bridge',
            module='sim2real_sim.gazebo_classic.bridge',
            settings='sim2real_sim.config:GazeboConfig',
            purpose='the robot in Gazebo Classic, as the node `simulator`; needs no gazebo_ros',
            publishes=(
                CLOCK, JOINT_STATES, IMU, ODOMETRY, TF, TF_STATIC, DESCRIPTION, IMAGE,
                CAMERA_INFO, DRAW_APPLIED,
            ),
            subscribes=(COMMAND, DRAW_REQUEST),
            services=(
                ('simulator/reset', TRIGGER),
                ('simulator/pause', 'std_srvs/srv/SetBool'),
                ('simulator/step', TRIGGER),
            ),
            makes_time=True,
        ),
        NodeKind(
            name='relay',
            module='sim2real_sim.relay_node',
            settings='sim2real_sim.config:RelayConfig',
            purpose='actuator and sensor realism between any simulator or robot and the policy',
            publishes=(JOINT_STATES, IMU, BEHIND_COMMAND, BEHIND_DRAW_REQUEST, DRAW_APPLIED, PACE),
            subscribes=(
                BEHIND_JOINT_STATES, BEHIND_IMU, COMMAND, DRAW_REQUEST, BEHIND_DRAW_APPLIED,
            ),
        ),
        NodeKind(
            name='gazebo_draws',
            module='sim2real_sim.world_node',
            settings='sim2real_sim.config:WorldConfig',
            purpose='drawn worlds in a Gazebo that gazebo_ros or ros_gz joined to ROS, as the '
            'node `simulator`',
            publishes=(DRAW_APPLIED,),
            subscribes=(DRAW_REQUEST,),
        ),
        NodeKind(
            name='randomizer',
            module='sim2real_randomizer.node',
            settings='sim2real_randomizer.config:RandomizerConfig',
            purpose='draws worlds from a space, narrowed by what is identified',
            publishes=(DRAW, DRAW_REQUEST),
            subscribes=(DRAW_APPLIED, ESTIMATE),
            services=(('randomizer/randomize', TRIGGER),),
        ),
        NodeKind(
            name='policy',
            module='sim2real_policy.node',
            settings='sim2real_policy.config:PolicyConfig',
            purpose='runs the policy behind its guard (a lifecycle node)',
            publishes=(COMMAND, ACTION_APPLIED, ACTION_SHADOW, OBSERVATION, PACE),
            subscribes=(
                JOINT_STATES, IMU, ODOMETRY, GOAL, VELOCITY_GOAL, EMERGENCY_STOP, OVERRIDE,
                OVERRIDE_WEIGHT,
            ),
            services=(('policy/stop', TRIGGER), ('policy/reset', TRIGGER)),
        ),
        NodeKind(
            name='sysid',
            module='sim2real_sysid.node',
            settings='sim2real_sysid.config:SysidConfig',
            purpose="identifies joints, drives and payload from the joints' sensors and commands",
            publishes=(ESTIMATE, PACE),
            subscribes=(JOINT_STATES, ACTION_APPLIED),
        ),
        NodeKind(
            name='capture',
            module='sim2real_capture.node',
            settings='sim2real_capture.config:CaptureConfig',
            purpose='keeps the last seconds and writes a clip when something goes wrong',
            services=(('capture/trigger', TRIGGER),),
            publishes=(EVENTS, PACE),
            subscribes=(
                JOINT_STATES, COMMAND, IMU, ODOMETRY, GOAL, VELOCITY_GOAL, ACTION_APPLIED,
                OBSERVATION, ESTIMATE, DRAW, DRAW_APPLIED, DESCRIPTION, TF_STATIC, DIAGNOSTICS,
            ),
        ),
        NodeKind(
            name='receiver',
            module='sim2real_capture.receiver_node',
            settings='sim2real_capture.config:ReceiverConfig',
            purpose='takes clips from robots and keeps them',
        ),
        NodeKind(
            name='visualizer',
            module='sim2real_bringup.visualizer',
            settings='sim2real_bringup.config:VisualizerConfig',
            purpose='target, commanded and measured tool pose and estimates as markers for rviz',
            publishes=(MARKERS, DESCRIPTION, TF),
            subscribes=(JOINT_STATES, GOAL, ACTION_APPLIED, ESTIMATE),
        ),
        NodeKind(
            name='player',
            module='sim2real_bringup.player',
            settings='sim2real_bringup.config:PlayerConfig',
            purpose='plays a bag through other nodes, waiting for them, and notes what they say',
            publishes=(
                CLOCK, JOINT_STATES, COMMAND, IMU, ODOMETRY, GOAL, VELOCITY_GOAL, IMAGE,
                ACTION_APPLIED,
            ),
            subscribes=(PACE, ESTIMATE, EVENTS, ACTION_APPLIED),
            makes_time=True,
            finishes=True,
        ),
    )
}  # fmt: skip
CONSUMERS = ('sysid', 'policy', 'capture')
"""Nodes that a bag can be played through: they acknowledge on ``pace``."""


def topic_name(topic: Topic, profile: RobotProfile) -> str:
    """Name of a topic on a robot, relative to its namespace."""
    return topic.name.format(
        command=profile.command.topic,
        joint_states=profile.topics.joint_states,
        imu=profile.topics.imu,
        odometry=profile.topics.odometry,
        goal=profile.topics.goal,
        velocity_goal=profile.topics.velocity_goal,
    )
