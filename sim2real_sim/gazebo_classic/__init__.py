"""Gazebo Classic (11), over its own transport and without ROS."""
