"""What the suite may need beyond its own code, and how to get it. Said once, here."""

from __future__ import annotations

EXTRA = "pip install 'sim2real[{}]' (in a clone: make env)"
ROS = 'source a ROS 2 installation (setup.bash), or run make env in a clone'
HOW_TO_GET = {
    'rclpy': ROS,
    'diagnostic_msgs': ROS,
    'sensor_msgs': ROS,
    'std_msgs': ROS,
    'visualization_msgs': f'{ROS}; from apt: ros-$ROS_DISTRO-common-interfaces',
    'tf2_msgs': 'apt install ros-$ROS_DISTRO-tf2-msgs, or run make env in a clone',
    'simulation_interfaces': 'apt install ros-$ROS_DISTRO-simulation-interfaces, or run make env',
    'launch_ros': 'apt install ros-$ROS_DISTRO-launch-ros; or use sim2real up, which needs none',
    'domain_coordinator': 'apt install ros-$ROS_DISTRO-domain-coordinator, or give --domain N',
    'honcho': 'pip install honcho; or use ros2 launch sim2real <stack>.launch.py',
    'rosbags': 'pip install rosbags',
    'mcap': 'pip install mcap',
    'pinocchio': 'apt install ros-$ROS_DISTRO-pinocchio, or pip install pin',
    'onnxruntime': 'pip install onnxruntime',
    'scipy': 'apt install python3-scipy, or pip install scipy',
    'rich': 'apt install python3-rich, or pip install rich',
    'psutil': 'apt install python3-psutil, or pip install psutil',
    'matplotlib': 'apt install python3-matplotlib, or pip install matplotlib',
    'mujoco': EXTRA.format('sim'),
    'google': EXTRA.format('gazebo'),
    'grpc_tools': EXTRA.format('gazebo'),
    'zmq': EXTRA.format('gazebo'),
    'torch': EXTRA.format('learning'),
    'rsl_rl': EXTRA.format('learning'),
    'onnx': EXTRA.format('learning'),
    'onnxscript': EXTRA.format('learning'),
    'cv2': EXTRA.format('vision'),
}
"""Import name to how to get it."""
