"""surgseg infer: run a predictor over files, without ROS."""

import argparse

from surgseg_ros.commands import infer_instances, infer_semantic, infer_stereo

_TASKS = {
    'stereo': (infer_stereo, 'disparity and tool masks, points and videos'),
    'semantic': (infer_semantic, 'class of every pixel, overlays and videos'),
    'instances': (infer_instances, "separate instruments: COCO's JSON, overlays and videos"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the tasks."""
    tasks = parser.add_subparsers(dest='task', required=True)
    for name, (module, purpose) in _TASKS.items():
        module.add_arguments(tasks.add_parser(name, help=purpose))


def run(args: argparse.Namespace) -> int:
    """Do the task chosen."""
    _TASKS[args.task][0].run(args)
    return 0
