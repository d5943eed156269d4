"""`surgseg up PIPELINE [name:=value ...]`: the nodes of a pipeline as processes."""

import argparse

from surgseg_ros.frames.foreign import say
from surgseg_ros.processes.pipelines import Pipeline
from surgseg_ros.processes.supervisor import Supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('pipeline', help='name of a file in config/pipelines')
    parser.add_argument('values', nargs='*', metavar='name:=value', help='pipeline arguments')
    parser.add_argument('--show-args', action='store_true', help='list the arguments and end')


def run(args: argparse.Namespace) -> int:
    """Start everything; end when a node ends or cannot start, or on Ctrl-C."""
    pipeline = Pipeline.load(args.pipeline)
    if args.show_args:
        for name, argument in pipeline.arguments.items():
            say(f'{name:<12} {argument.default!r:<12} {argument.help}')
        return 0
    nodes = pipeline.nodes(parse(args.values))
    from surgseg_ros.live.monitor import DiagnosticsMonitor
    from surgseg_ros.live.probe import Probe

    names = [f'{node.namespace}/{node.name}'.strip('/') for node in nodes]
    with Supervisor() as supervisor, Probe('surgseg_up') as probe:
        monitor = DiagnosticsMonitor(supervisor, probe)
        for node in nodes:
            supervisor.start(node)
        return supervisor.wait(lambda: monitor.check(names))


def parse(values: list[str]) -> dict[str, str]:
    """Split name:=value words; ValueError for one without :=."""
    pairs = [word.partition(':=') for word in values]
    wrong = [name for name, separator, _ in pairs if not separator]
    if wrong:
        raise ValueError(f'"{wrong[0]}" is not of the form name:=value')
    return {name: value for name, _, value in pairs}
