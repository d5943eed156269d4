"""Endoscope and instance node, as config/pipelines/instance.yaml describes them."""

from launch import LaunchDescription

from surgseg_ros.nodes.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description('instance')
