"""Parameters of ros2_control's controllers: name to type, as far as robots here need them.

From the definitions (``*_parameter(s).yaml``) of ros2_controllers, branches ``humble`` and
``jazzy``.
"""

BOTH = {
    'joint_state_broadcaster/JointStateBroadcaster': {
        'use_local_topics': bool,
        'joints': list,
        'extra_joints': list,
        'interfaces': list,
        'map_interface_to_joint_state.position': str,
        'map_interface_to_joint_state.velocity': str,
        'map_interface_to_joint_state.effort': str,
        'frame_id': str,
        'publish_dynamic_joint_states': bool,
    },
    'forward_command_controller/ForwardCommandController': {'joints': list, 'interface_name': str},
    'imu_sensor_broadcaster/IMUSensorBroadcaster': {
        'sensor_name': str,
        'frame_id': str,
        'static_covariance_orientation': list,
        'static_covariance_angular_velocity': list,
        'static_covariance_linear_acceleration': list,
    },
    'diff_drive_controller/DiffDriveController': {
        'left_wheel_names': list,
        'right_wheel_names': list,
        'wheel_separation': float,
        'wheel_radius': float,
        'wheel_separation_multiplier': float,
        'left_wheel_radius_multiplier': float,
        'right_wheel_radius_multiplier': float,
        'tf_frame_prefix_enable': bool,
        'tf_frame_prefix': str,
        'odom_frame_id': str,
        'base_frame_id': str,
        'pose_covariance_diagonal': list,
        'twist_covariance_diagonal': list,
        'open_loop': bool,
        'position_feedback': bool,
        'enable_odom_tf': bool,
        'cmd_vel_timeout': float,
        'publish_limited_velocity': bool,
        'velocity_rolling_window_size': int,
        'publish_rate': float,
        **{
            f'{element}.{name}': kind
            for element in ('linear.x', 'angular.z')
            for name, kind in {
                'has_velocity_limits': bool,
                'has_acceleration_limits': bool,
                'has_jerk_limits': bool,
                'max_velocity': float,
                'min_velocity': float,
                'max_acceleration': float,
                'min_acceleration': float,
                'max_jerk': float,
                'min_jerk': float,
            }.items()
        },
    },
}
"""Type of a controller -> its parameters in either."""

ONLY_JAZZY = {
    f'{element}.{name}'
    for element in ('linear.x', 'angular.z')
    for name in ('max_deceleration', 'max_acceleration_reverse', 'max_deceleration_reverse')
}
"""Of the diff drive, numbers; ``min_acceleration`` is read by Humble alone, for deceleration."""

NEEDED = {
    'joint_state_broadcaster/JointStateBroadcaster': (),
    'forward_command_controller/ForwardCommandController': ('joints', 'interface_name'),
    'imu_sensor_broadcaster/IMUSensorBroadcaster': ('sensor_name', 'frame_id'),
    'diff_drive_controller/DiffDriveController': (
        'left_wheel_names',
        'right_wheel_names',
        'wheel_separation',
        'wheel_radius',
    ),
}
"""Type of a controller -> what it does not configure without: no default passes its check."""
