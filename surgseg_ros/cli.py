"""The `surgseg` command: one subcommand per file in surgseg_ros/commands."""

import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from surgseg_ros import __version__
from surgseg_ros.commands.help import CommandParser
from surgseg_ros.frames.foreign import say
from surgseg_ros.processes.signals import on_signal

COMMANDS = {
    'demo': 'virtual endoscope -> stereo node -> bag, video, cloud and a summary',
    'up': 'start a pipeline of nodes',
    'simulate': 'write a bag of the virtual endoscope, with ground truth',
    'replay': 'publish a bag as a live endoscope',
    'infer': 'run a model over files',
    'register': "find where a robot arm's base is, seen from the camera",
    'train': 'train a network as a recipe says',
    'ablate': 'train variants of a recipe and compare them',
    'evaluate': 'compare results with ground truth',
    'bench': 'measure speed',
    'fit-uncertainty': 'fit the standard deviation of disparities to simulated frames',
    'datasets': "write instances in COCO's layout",
    'bags': 'look into, convert and make bags',
    'models': 'list networks, check and convert their weights',
    'topics': 'list the topics and parameters of the nodes',
    'doctor': 'check this installation',
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; what the user did wrong is one sentence and exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    args = parser_of(words[:1]).parse_args(words)
    on_signal(_stop)
    try:
        return int(args.run(args) or 0)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, ImportError) as error:
        say(f'surgseg {args.command}: {error}', to=sys.stderr)
        return 2


def parser_of(commands: Sequence[str]) -> CommandParser:
    """The parser of these commands with their options; of the others it knows the names."""
    parser = CommandParser(
        prog='surgseg',
        description='Perception for surgical robots: stereo endoscope frames in, instruments out.',
        epilog='`surgseg COMMAND --help` says what a command takes.',
    )
    parser.add_argument('--version', action='version', version=f'surgseg {__version__}')
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name, purpose in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=purpose, description=purpose)
        if name in commands:  # only what runs is imported
            module = import_module(f'surgseg_ros.commands.{name.replace("-", "_")}')
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser


def _stop(number: int) -> None:
    """End children and close files on the way out."""
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


if __name__ == '__main__':
    sys.exit(main())
