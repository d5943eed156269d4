"""`surgseg demo`: virtual endoscope -> stereo node -> recorder, live, then what came out."""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import cv2
from tqdm import tqdm

from surgseg_ros.bags import BagReader
from surgseg_ros.evaluation import stereo
from surgseg_ros.evaluation.mosaic import mosaic, write_video
from surgseg_ros.geometry.ply import write_ply
from surgseg_ros.messages import cloud_from_message
from surgseg_ros.pipelines import Pipeline, PipelineNode
from surgseg_ros.supervisor import Supervisor

NAMESPACE = 'endoscope'
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
    args.out.mkdir(parents=True, exist_ok=True)
    bag = args.out / 'demo.mcap'
    source = f'sim:frames={args.frames},seed={args.seed},wrist_bend=0.5'
    values = {'source': source, **parse(args.values)}
    status = record(Pipeline.load('stereo').nodes(values), bag, args.frames)
    draw(bag, args.out)
    metrics = stereo.evaluate(bag)
    summary = {'stereo_node': status, 'accuracy': {k: asdict(v) for k, v in metrics.items()}}
    (args.out / 'summary.json').write_text(json.dumps(summary, indent=2))
    print(_summary(status))
    print(f"\nAccuracy against the simulator's truth\n{stereo.table(metrics)}\n")
    for name in ('demo.mcap', 'demo.mp4', 'demo.png', 'cloud.ply', 'summary.json'):
        print(f'{args.out / name}')
    return 0


def record(nodes: list[PipelineNode], bag: Path, frames: int) -> dict[str, str]:
    """Run the nodes and a recorder until the source ends; return stereo_node's last report."""
    from surgseg_ros.nodes.monitor import DiagnosticsMonitor
    recorder = PipelineNode('recorder_node', 'recorder', NAMESPACE, parameters={
        'bag': str(bag), 'topics': list(RECORDED), 'overwrite': True})
    others = [node for node in nodes if node.name != 'endoscope']
    source = next(node for node in nodes if node.name == 'endoscope')
    with Supervisor() as supervisor, DiagnosticsMonitor() as monitor:
        for node in (recorder, *others):
            supervisor.start(node)
        supervisor.start(source)
        with tqdm(total=frames, unit=' frames', desc='live', disable=None) as bar:
            while supervisor.processes['endoscope'].poll() is None:
                sent = int(monitor.values(f'{NAMESPACE}/endoscope').get('sent', 0))
                bar.update(sent - bar.n)
                _check_alive(supervisor)
                time.sleep(0.2)
        if supervisor.processes['endoscope'].returncode:
            raise ValueError('the endoscope node failed, see its message above')
        time.sleep(2.5)   # the last outputs, and diagnostics that count them
        supervisor.stop('recorder')
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


def _check_alive(supervisor: Supervisor) -> None:
    for name, process in supervisor.processes.items():
        if name != 'endoscope' and process.poll() is not None:
            raise ValueError(f'{name} ended too early, see its message above')


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
