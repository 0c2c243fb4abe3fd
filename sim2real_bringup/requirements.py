"""What the suite may need beyond its own code, and how to get it. Said once, here."""

from __future__ import annotations

EXTRA = "pip install 'sim2real[{}]' (in a clone: make env)"
ROS = 'source a ROS 2 installation (setup.bash), or run make env in a clone'
APT = 'apt install python3-{0}, or pip install {0}'
HOW_TO_GET = {
    **dict.fromkeys(
        (
            'builtin_interfaces', 'diagnostic_msgs', 'geometry_msgs', 'lifecycle_msgs',
            'nav_msgs', 'rcl_interfaces', 'rclpy', 'rosgraph_msgs', 'sensor_msgs', 'std_msgs',
            'std_srvs', 'trajectory_msgs',
        ),
        ROS,
    ),
    'visualization_msgs': f'{ROS}; from apt: ros-$ROS_DISTRO-common-interfaces',
    'tf2_msgs': 'apt install ros-$ROS_DISTRO-tf2-msgs, or run make env',
    'simulation_interfaces': 'apt install ros-$ROS_DISTRO-simulation-interfaces, or run make env',
    'gazebo_msgs': 'apt install ros-$ROS_DISTRO-gazebo-msgs, or run make env',
    'ros_gz_interfaces': 'apt install ros-$ROS_DISTRO-ros-gz-interfaces, or run make env',
    'launch': 'apt install ros-$ROS_DISTRO-launch; or use sim2real up, which needs none',
    'launch_ros': 'apt install ros-$ROS_DISTRO-launch-ros; or use sim2real up, which needs none',
    'domain_coordinator': 'apt install ros-$ROS_DISTRO-domain-coordinator, or give --domain N',
    'honcho': 'pip install honcho; or use ros2 launch sim2real <stack>.launch.py',
    'rosbags': 'pip install rosbags',
    'mcap': 'pip install mcap',
    'PIL': 'apt install python3-pil, or pip install pillow',
    'pinocchio': 'apt install ros-$ROS_DISTRO-pinocchio, or pip install pin',
    'xacro': 'apt install ros-$ROS_DISTRO-xacro, or pip install xacro',
    'onnxruntime': 'pip install onnxruntime',
    'yaml': 'apt install python3-yaml, or pip install PyYAML',
    **{
        name: APT.format(name)
        for name in (
            'aiohttp', 'jinja2', 'lxml', 'matplotlib', 'numpy', 'psutil', 'rich', 'scipy',
        )
    },
    'mujoco': EXTRA.format('sim'),
    'coal': EXTRA.format('sim'),
    'numba': EXTRA.format('sim'),
    **dict.fromkeys(('google', 'grpc_tools', 'zmq'), EXTRA.format('gazebo')),
    **dict.fromkeys(
        ('onnx', 'onnxscript', 'pyarrow', 'rsl_rl', 'tensordict', 'torch'),
        EXTRA.format('learning'),
    ),
    'asyncssh': EXTRA.format('sftp'),
    'boto3': EXTRA.format('s3'),
    'botocore': EXTRA.format('s3'),
    'cma': EXTRA.format('sysid'),
    'sbi': EXTRA.format('sbi'),
    'cv2': EXTRA.format('vision'),
}  # fmt: skip
"""Import name to how to get it."""
