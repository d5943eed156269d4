"""Endoscope and stereo node, as config/pipelines/stereo.yaml describes them."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from surgseg_ros.pipelines import Pipeline

PIPELINE = Pipeline.load('stereo')


def make_nodes(context: LaunchContext) -> list[Node]:
    values = {name: LaunchConfiguration(name).perform(context) for name in PIPELINE.arguments}
    return [Node(package=node.package, executable=node.executable, name=node.name,
                 namespace=node.namespace, parameters=[node.parameters],
                 remappings=list(node.remaps.items()), arguments=node.arguments,
                 output='screen')
            for node in PIPELINE.nodes(values)]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=str(argument.default),
                                description=argument.help)
          for name, argument in PIPELINE.arguments.items()),
        *(SetEnvironmentVariable(*item) for item in PIPELINE.environment().items()),
        OpaqueFunction(function=make_nodes),
    ])
