"""Poses of instruments and what they come from: config/pipelines/navigation.yaml."""

from launch import LaunchDescription

from surgseg_ros.nodes.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description('navigation')
