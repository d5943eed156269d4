"""A pipeline for `ros2 launch`; the launch files call this."""

# (mypy takes our folder launch/ for the package)
from launch import LaunchContext, LaunchDescription  # type: ignore[attr-defined]
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from surgseg_ros.processes.pipelines import Pipeline


def launch_description(name: str) -> LaunchDescription:
    """What config/pipelines/<name>.yaml describes, with its arguments as launch arguments."""
    pipeline = Pipeline.load(name)

    def make_nodes(context: LaunchContext) -> list[Node]:
        values = {
            argument: LaunchConfiguration(argument).perform(context)
            for argument in pipeline.arguments
        }
        return [
            Node(
                package=node.package,
                executable=node.executable,
                name=node.name,
                namespace=node.namespace,
                parameters=[node.parameters],
                remappings=list(node.remaps.items()),
                arguments=node.arguments,
                output='screen',
            )
            for node in pipeline.nodes(values)
        ]

    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    name, default_value=str(argument.default), description=argument.help
                )
                for name, argument in pipeline.arguments.items()
            ),
            *(SetEnvironmentVariable(*item) for item in pipeline.environment().items()),
            OpaqueFunction(function=make_nodes),
        ]
    )
