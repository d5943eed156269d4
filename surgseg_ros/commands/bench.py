"""`surgseg bench`: networks by every backend against the published way; images through DDS."""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeAlias

import numpy as np

from surgseg_ros import networks
from surgseg_ros.benchmarks import bench_instances, bench_transport
from surgseg_ros.benchmarks.bench_network import CONTENDERS, Timing, Workload, compare
from surgseg_ros.benchmarks.random_weights import INSTANCES, instance_weights
from surgseg_ros.commands.argument_types import size
from surgseg_ros.frames.foreign import say
from surgseg_ros.networks.bundled import bundled_weights

_NETWORKS = {
    'stereo': networks.available_for('stereo'),
    # SurgicalSAM has no turn of its own: it shares features between frames
    'semantic': tuple(n for n in networks.available_for('semantic') if n != 'surgicalsam'),
    'instances': networks.available_for('instances'),
}
_Kinds: TypeAlias = 'argparse._SubParsersAction[argparse.ArgumentParser]'
_RANDOM_DO = 'checkpoint; default: random weights, which are as fast'
_WEIGHTS_HELP = {
    'stereo': _RANDOM_DO,
    'semantic': _RANDOM_DO,
    'instances': 'checkpoint; default those that come with the package, else random ones with '
    f'which {INSTANCES} candidates pass: the time depends on how many instances are found, '
    'which the last column says',
}
_NODE_MODELS = {  # of `bench node`, by node
    'stereo': 'sgbm',
    'semantic': 'lwanet',
    'instance': 'solo_mobilenet',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `surgseg bench`."""
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='KIND')
    _add_network(kinds, 'stereo', 'msdesis_light', '640x512', _bench_stereo)
    _add_network(kinds, 'semantic', 'lwanet', '960x544', _bench_semantic)
    _add_network(kinds, 'instances', 'solo_mobilenet', '320x256', _bench_instances)
    transport = kinds.add_parser(
        'transport',
        help='3.9 MB images between two processes, by Fast DDS as it is and with our profile',
    )
    transport.add_argument('--rounds', type=int, default=3, help='turns per setting (3)')
    transport.add_argument('--frames', type=int, default=100, help='images per turn (100)')
    transport.set_defaults(bench=_bench_transport)
    _add_node(kinds)


def _add_network(
    kinds: _Kinds, kind: str, model: str, images: str, bench: Callable[[argparse.Namespace], None]
) -> None:
    titles = [contender.title for contender in CONTENDERS]
    parser = kinds.add_parser(kind, help='a network by every backend: milliseconds, memory, start')
    parser.add_argument(
        '--model', default=model, choices=_NETWORKS[kind], help=f'network ({model})'
    )
    parser.add_argument('--weights', type=Path, help=_WEIGHTS_HELP[kind])
    parser.add_argument(
        '--size', type=size, default=images, help=f'size of the images, px ({images})'
    )
    if kind == 'stereo':
        parser.add_argument(
            '--scale', type=float, default=1.0, help='scale at which the network sees the images'
        )
    parser.add_argument('--rounds', type=int, default=15, help='turns per contender (15)')
    parser.add_argument('--threads', type=int, help='threads per contender (all)')
    parser.add_argument(
        '--only',
        nargs='+',
        default=titles,
        choices=titles,
        metavar='CONTENDER',
        help='; '.join(titles),
    )
    parser.set_defaults(bench=bench)


def _add_node(kinds: _Kinds) -> None:
    node = kinds.add_parser('node', help='a node as a process: start, memory, latency, counts')
    node.add_argument(
        '--node', default='stereo', choices=tuple(_NODE_MODELS), help='node (stereo)'
    )
    node.add_argument(
        '--model',
        nargs='+',
        metavar='MODEL',
        help='one or more; default '
        + ', '.join(f'{model} of {name}' for name, model in _NODE_MODELS.items()),
    )
    node.add_argument('--backend', nargs='+', default=['auto'], help='one or more backends')
    node.add_argument(
        '--weights',
        type=Path,
        help='of a network; default those for '
        'instances that come with the package, else random ones, which find no '
        'instances but are otherwise as fast',
    )
    node.add_argument(
        '--size', type=size, default='640x512', help='size of the images, px (640x512)'
    )
    node.add_argument(
        '--scale', type=float, help='scale at which a stereo matcher sees the images'
    )
    node.add_argument('--rate', type=float, default=30.0, help='rate of the input, Hz (30)')
    node.add_argument('--seconds', type=float, default=10.0, help='duration of the input (10)')
    node.set_defaults(bench=_bench_node)


def run(args: argparse.Namespace) -> None:
    """Run the benchmark chosen."""
    args.bench(args)


def _bench_transport(args: argparse.Namespace) -> None:
    """Print one line per setting; the first is what the others are compared with."""
    measured = bench_transport.compare(args.rounds, args.frames)
    say(f'1280x1024 rgb8 at 30 Hz between two processes, {processor()}')
    say(f'{"":34}{"median ms":>10}{"p99 ms":>10}{"received":>14}')
    for title, rounds in measured.items():
        median, p99 = (bench_transport.median(rounds, key) for key in ('median_ms', 'p99_ms'))
        received = f'{sum(r["received"] for r in rounds)} of {sum(r["sent"] for r in rounds)}'
        say(f'{title:34}{median:>10.2f}{p99:>10.2f}{received:>14}')


def _bench_node(args: argparse.Namespace) -> None:
    """Print one line per model and backend."""
    from surgseg_ros.benchmarks import bench_node

    width, height = args.size
    shared = {'image_size': f'{width}x{height}'}
    if args.scale is not None:
        if args.node != 'stereo':
            raise ValueError(f'--scale is for stereo_node, not {args.node}_node')
        shared['scale'] = args.scale
    say(
        f'{args.node}_node, {width}x{height} at {args.rate:g} Hz for {args.seconds:g} s, '
        f'scale {args.scale or 1:g}, {processor()}'
    )
    say(bench_node.HEAD)
    with bench_node.recording(width, height, args.rate) as bag:
        for model in args.model or [_NODE_MODELS[args.node]]:
            network = model in networks.available()
            for backend in args.backend if network else ['auto']:
                with (
                    _weights(model, args.weights, args.size) if network else nullcontext('')
                ) as weights:
                    parameters = {
                        'model': model,
                        'weights': str(weights),
                        'backend': backend,
                        **shared,
                    }
                    say(bench_node.measure(args.node, bag, parameters, args.seconds))


def _bench_stereo(args: argparse.Namespace) -> None:
    """The last column says by how much the disparities differ, px."""
    _bench_network(args, 'stereo', f', scale {args.scale:g}', 'px mean / max', _disparity_change)


def _bench_semantic(args: argparse.Namespace) -> None:
    """The last column says how many labels differ."""
    _bench_network(args, 'semantic', '', 'labels that differ', _label_change)


def _bench_instances(args: argparse.Namespace) -> None:
    """The last column says on how many pixels there are more instances or fewer, and how many."""
    _bench_network(args, 'instances', '', 'instances that differ', _count_change)


def _bench_network(
    args: argparse.Namespace,
    kind: str,
    how: str,
    change_title: str,
    change: Callable[[np.ndarray, np.ndarray], str],
) -> None:
    """Print one line per contender; the first is what the others are compared with."""
    width, height = args.size
    contenders = [contender for contender in CONTENDERS if contender.title in args.only]
    with _weights(args.model, args.weights, args.size) as weights:
        task = Workload(
            kind,
            args.model,
            str(weights),
            width,
            height,
            getattr(args, 'scale', 1.0),
            args.threads,
        )
        timings, refused = compare(task, contenders, args.rounds)
    say(f'{args.model} {width}x{height}{how}, {processor()}')
    say(f'{"":28} ms/result  quartiles      ratio   start s   peak MB   {change_title}')
    for timing in timings:
        say(_line(timing, timings[0]) + change(timing.result, timings[0].result))
    for title, reason in refused.items():
        say(f'{title:28} {reason}')


def _line(timing: Timing, baseline: Timing) -> str:
    low, median, high = np.percentile(timing.milliseconds, (25, 50, 75))
    ratio = np.median(baseline.milliseconds) / median
    return (
        f'{timing.title:28} {median:9.1f}  {low:6.0f}-{high:<6.0f} {ratio:7.2f}x '
        f'{timing.start_seconds:8.2f} {timing.peak_megabytes:9.0f}   '
    )


def _disparity_change(found: np.ndarray, expected: np.ndarray) -> str:
    change = np.abs(found - expected)
    return f'{np.nanmean(change):.5f} / {np.nanmax(change):.5f}'


def _label_change(found: np.ndarray, expected: np.ndarray) -> str:
    classes = len(np.unique(expected))
    return f'{np.count_nonzero(found != expected)} of {found.size} px, {classes} classes'


def _count_change(found: np.ndarray, expected: np.ndarray) -> str:
    """Of masks N x H x W bool and M x H x W bool."""
    changed = found.sum(axis=0) != expected.sum(axis=0)
    return f'{np.count_nonzero(changed)} of {changed.size} px, {len(found)} instances'


def processor() -> str:
    """Name of the CPU and how many of its threads this process may use."""
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return f'{names[0] if names else "unknown CPU"} ({len(os.sched_getaffinity(0))} threads)'


@contextmanager
def _weights(name: str, given: Path | None, size: tuple[int, int]) -> Iterator[Path]:
    """Yield the given checkpoint, or one with random weights that lasts as long as the context.

    Instances have to be found to be timed: those for them come with the package, or are random
    ones that find some in images of this size (width, height).
    """
    instances = name in _NETWORKS['instances']
    if known := given or (bundled_weights(name) if instances else None):
        yield known
        return
    import torch

    if instances:
        threshold = bench_instances.SCORE_THRESHOLDS[name.partition('_')[0]]
        state = instance_weights(name, *size, threshold)
    else:
        state = networks.create(name).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'{name}.pt'
        torch.save(state, path)
        yield path
