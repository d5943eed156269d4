"""`surgseg demo`: virtual endoscope -> stereo node -> recorder, live, then what came out."""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import cv2
from tqdm import tqdm

from surgseg_ros.bags import BagReader
from surgseg_ros.domains import own_domain
from surgseg_ros.evaluation import stereo
from surgseg_ros.evaluation.mosaic import mosaic, write_video
from surgseg_ros.geometry.ply import write_ply
from surgseg_ros.messages import cloud_from_message
from surgseg_ros.pipelines import Pipeline, PipelineNode
from surgseg_ros.supervisor import Supervisor

NAMESPACE, SOURCE = 'endoscope', 'endoscope'
RECORDED = ('left/image_rect', 'right/image_rect', 'left/camera_info', 'right/camera_info',
            'ground_truth/disparity', 'ground_truth/parts', 'ground_truth/instances',
            'ground_truth/tool_poses', 'disparity', 'points2', '/diagnostics')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--out', type=Path, default=Path('out/demo'), help='folder to write')
    parser.add_argument('--frames', type=int, default=40)
    parser.add_argument('--seed', type=int, default=0, help='of the virtual endoscope')
    parser.add_argument('values', nargs='*', metavar='name:=value',
                        help='arguments of the stereo pipeline')


def run(args: argparse.Namespace) -> int:
    """Record live, then judge and draw from the recording alone."""
    from surgseg_ros.commands.up import parse
    source = f'sim:seed={args.seed},wrist_bend=0.5'
    nodes = plan({'source': source, **parse(args.values)}, args.frames)
    args.out.mkdir(parents=True, exist_ok=True)
    bag = args.out / 'demo.mcap'
    status = record(nodes, bag, args.frames)
    draw(bag, args.out)
    metrics = stereo.evaluate(bag)
    summary = {'stereo_node': status, 'accuracy': {k: asdict(v) for k, v in metrics.items()}}
    (args.out / 'summary.json').write_text(json.dumps(summary, indent=2))
    print(_summary(status))
    print(f"\nAccuracy against the simulator's truth\n{stereo.table(metrics)}\n")
    for name in ('demo.mcap', 'demo.mp4', 'demo.png', 'cloud.ply', 'summary.json'):
        print(f'{args.out / name}')
    return 0


def plan(values: dict[str, str], frames: int) -> list[PipelineNode]:
    """Nodes of the stereo pipeline, the endoscope last; ValueError for what a demo cannot do."""
    if frames < 1:
        raise ValueError(f'{frames} frames cannot be shown, expected at least 1')
    if values['source'] == 'camera':
        raise ValueError('the demo plays a source; for a camera there is `surgseg up stereo`')
    if 'namespace' in values:
        raise ValueError('the demo has a domain of its own and needs no namespace')
    nodes = Pipeline.load('stereo').nodes(values)
    source = next(node for node in nodes if node.name == SOURCE)
    # two subscribers: stereo_node and the recorder
    source.parameters.update(frames=frames, subscribers=2)
    return [*(node for node in nodes if node is not source), source]


def record(nodes: list[PipelineNode], bag: Path, frames: int) -> dict[str, str]:
    """Run the nodes and a recorder until the source ends; return stereo_node's last report.

    All of it in a ROS domain of its own, so that a robot, or another demo, is not disturbed.
    """
    from surgseg_ros.nodes.monitor import DiagnosticsMonitor
    recorder = PipelineNode('recorder_node', 'recorder', NAMESPACE, parameters={
        'bag': str(bag), 'topics': list(RECORDED), 'overwrite': True})
    *others, source = nodes
    with (own_domain() as domain, Supervisor() as supervisor,
          DiagnosticsMonitor(supervisor) as monitor):
        print(f'to look on: export ROS_DOMAIN_ID={domain}')
        for node in (recorder, *others):
            supervisor.start(node)
        monitor.await_active(f'{NAMESPACE}/recorder', f'{NAMESPACE}/stereo')
        process = supervisor.start(source)
        with tqdm(total=frames, unit=' frames', desc='live', disable=None) as bar:
            while process.poll() is None:
                bar.update(int(monitor.values(f'{NAMESPACE}/{SOURCE}').get('sent', 0)) - bar.n)
                monitor.check()
                time.sleep(0.2)
        monitor.check()
        time.sleep(2.5)   # the last outputs, and diagnostics that count them
        if supervisor.stop('recorder'):
            raise ValueError('the recording failed, see the message of the recorder above')
        return monitor.values(f'{NAMESPACE}/stereo')


def draw(bag: Path, out: Path) -> None:
    """Write video, picture and cloud from the recording."""
    drawn = [mosaic(judged) for judged in tqdm(
        stereo.judged_frames(bag), unit=' frames', desc='drawing', disable=None)]
    if not drawn:
        raise ValueError(f'{bag} has no disparity that belongs to a frame')
    write_video(out / 'demo.mp4', drawn, rate=10.0)
    middle = drawn[len(drawn) // 2]
    cv2.imwrite(str(out / 'demo.png'), cv2.cvtColor(middle, cv2.COLOR_RGB2BGR))
    with BagReader(bag) as reader:
        clouds = reader.messages([f'/{NAMESPACE}/points2'])
        write_ply(out / 'cloud.ply', cloud_from_message(next(iter(clouds)).message))


def _summary(status: dict[str, str]) -> str:
    count = {key: status.get(key, '0') for key in ('paired', 'out', 'dropped', 'rejected')}
    lines = [f'\nFrames: {status.get("left received", 0)} left and '
             f'{status.get("right received", 0)} right in, {count["paired"]} paired, '
             f'{count["out"]} out, {count["dropped"]} dropped, {count["rejected"]} rejected',
             f'\n{"latency ms":<14}{"p50":>10}{"p99":>10}']
    stages = [key.removesuffix(' p50 [ms]') for key in status if key.endswith(' p50 [ms]')]
    lines += [f'{stage:<14}{status[f"{stage} p50 [ms]"]:>10}{status[f"{stage} p99 [ms]"]:>10}'
              for stage in stages]
    return '\n'.join(lines) + '\n(age: from receipt of a pair to its published outputs)'
