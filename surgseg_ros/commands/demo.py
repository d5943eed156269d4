"""`surgseg demo`: virtual endoscope -> nodes -> recorder, live, then what came out.

stereo_node always; semantic_node, too, if weights for it come with the package.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from surgseg_ros.bags import BagReader
from surgseg_ros.evaluation import stereo
from surgseg_ros.evaluation.mosaic import mosaic, write_video
from surgseg_ros.frames.foreign import say
from surgseg_ros.geometry.ply import write_ply
from surgseg_ros.networks.bundled import bundled_weights
from surgseg_ros.processes.pipelines import Pipeline, PipelineNode
from surgseg_ros.rosdata.images import decode_labels
from surgseg_ros.rosdata.messages import cloud_from_message, stamp_of

NAMESPACE, SOURCE = 'endoscope', 'endoscope'
PERCEIVING = ('stereo', 'semantic')
RECORDED = (
    'left/image_rect',
    'right/image_rect',
    'left/camera_info',
    'right/camera_info',
    'ground_truth/disparity',
    'ground_truth/parts',
    'ground_truth/instances',
    'ground_truth/tool_poses',
    'disparity',
    'points2',
    'segmentation',
    'segmentation/label_info',
    '/diagnostics',
)
_COMMON = ('rectify', 'image_transport', 'max_rate')  # that both nodes take the same frames


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--out', type=Path, default=Path('out/demo'), help='folder to write')
    parser.add_argument('--frames', type=int, default=40, help='number of stereo frames')
    parser.add_argument('--seed', type=int, default=0, help='seed of the virtual endoscope')
    parser.add_argument(
        'values', nargs='*', metavar='name:=value', help='arguments of the stereo pipeline'
    )


def run(args: argparse.Namespace) -> int:
    """Record live, then judge and draw from the recording alone."""
    from surgseg_ros.commands.up import parse
    from surgseg_ros.live.recording import record

    source = f'sim:seed={args.seed},wrist_bend=0.5'
    nodes = plan({'source': source, **parse(args.values)}, args.frames)
    args.out.mkdir(parents=True, exist_ok=True)
    bag = args.out / 'demo.mcap'
    watched = [node for node in nodes if node.name in PERCEIVING]
    reports = record(nodes, [node.name for node in watched], bag, RECORDED, args.frames)
    status = {node.executable: reports[node.name] for node in watched}
    draw(bag, args.out)
    metrics = stereo.evaluate(bag)
    summary = {**status, 'accuracy': metrics.figures()}
    (args.out / 'summary.json').write_text(json.dumps(summary, indent=2))
    for name, values in status.items():
        say(*_summary(name, values).split('\n'))
    say('', "Accuracy against the simulator's truth", *metrics.table().text().split('\n'), '')
    for name in ('demo.mcap', 'demo.mp4', 'demo.png', 'cloud.ply', 'summary.json'):
        say(f'{args.out / name}')
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
    others = [node for node in nodes if node is not source]
    if bundled_weights('lwanet'):
        stereo_node = next(node for node in others if node.name == 'stereo')
        common = {name: stereo_node.parameters[name] for name in _COMMON}
        others.append(PipelineNode('semantic_node', 'semantic', NAMESPACE, parameters=common))
    # subscribers of the left image: the perception nodes and the recorder
    perceiving = sum(node.name in PERCEIVING for node in others)
    source.parameters.update(frames=frames, subscribers=perceiving + 1)
    return [*others, source]


def draw(bag: Path, out: Path) -> None:
    """Write video, picture and cloud from the recording."""
    labels, class_names = _segmentation(bag)
    drawn = [
        mosaic(judged, labels.get(judged.frame.stamp), class_names)
        for judged in tqdm(stereo.judged_frames(bag), unit=' frames', desc='drawing', disable=None)
    ]
    if not drawn:
        raise ValueError(f'{bag} has no disparity that belongs to a frame')
    write_video(out / 'demo.mp4', drawn, rate=10.0)
    middle = drawn[len(drawn) // 2]
    cv2.imwrite(str(out / 'demo.png'), cv2.cvtColor(middle, cv2.COLOR_RGB2BGR))
    with BagReader(bag) as reader:
        clouds = reader.messages([f'/{NAMESPACE}/points2'])
        write_ply(out / 'cloud.ply', cloud_from_message(next(iter(clouds)).message))


def _segmentation(bag: Path) -> tuple[dict[int, np.ndarray], list[str]]:
    """Recorded HxW uint8 class ids by stamp, and the names of the classes; empty without."""
    images, names = (
        f'/{NAMESPACE}/{topic}' for topic in ('segmentation', 'segmentation/label_info')
    )
    with BagReader(bag) as reader:
        if names not in reader.topics:
            return {}, []
        class_map = next(iter(reader.messages([names]))).message.class_map
        labels = {
            stamp_of(item.message): decode_labels(item.message)
            for item in reader.messages([images])
        }
    return labels, [entry.class_name for entry in class_map]


def _summary(name: str, status: dict[str, str]) -> str:
    count = {key: status.get(key, '0') for key in ('paired', 'out', 'dropped', 'rejected')}
    received = ' and '.join(
        f'{status[f"{side} received"]} {side}'
        for side in ('left', 'right')
        if f'{side} received' in status
    )
    lines = [
        f'\n{name}: {received} in, {count["paired"]} paired, '
        f'{count["out"]} out, {count["dropped"]} dropped, {count["rejected"]} rejected',
        f'\n{"latency ms":<14}{"p50":>10}{"p99":>10}',
    ]
    stages = [key.removesuffix(' p50 [ms]') for key in status if key.endswith(' p50 [ms]')]
    lines += [
        f'{stage:<14}{status[f"{stage} p50 [ms]"]:>10}{status[f"{stage} p99 [ms]"]:>10}'
        for stage in stages
    ]
    return '\n'.join(lines) + '\n(age: from receipt of a frame to its published outputs)'
