"""The same frames with the same stamps give the same through node, infer and evaluation."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from harness import Graph, graph, wait_for
from surgseg_infer import Infer

pytest.importorskip('mujoco')
pytest.importorskip('torch', reason='networks need torch')
pytest.importorskip('pycocotools', reason='COCO needs pycocotools')

from surgseg_ros.bags import BagWriter
from surgseg_ros.bags.stereo_bag import write_frame
from surgseg_ros.datasets import InstanceDataset, InstanceSample, SegmentationDataset
from surgseg_ros.evaluation import instances, segmentation, stereo, tracking
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.metrics.instances import average_precision, coco_truth, records
from surgseg_ros.metrics.tracking import TrackingScore
from surgseg_ros.perception.instances import InstanceSettings, InstanceStep
from surgseg_ros.perception.semantic import SemanticSettings, SemanticStep
from surgseg_ros.perception.stereo import StereoSettings, StereoStep
from surgseg_ros.rosdata.images import decode_labels
from surgseg_ros.rosdata.messages import disparity_from_message, instance_parts
from surgseg_ros.simulation import VirtualEndoscope, crossing
from surgseg_ros.sources import open_source

WIDTH, HEIGHT = 320, 256
NUMBERS = (1, 2, 3, 61, 62, 63)  # of frames at 15 Hz: nearly four seconds are missing
RUNTIME = {'backend': 'openvino', 'threads': 1}
OPTIONS = ['--backend', 'openvino', '--threads', '1']


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bag') / 'frames.mcap'
    with VirtualEndoscope(WIDTH, HEIGHT, **crossing.OPTIONS) as endoscope, BagWriter(path) as bag:
        for number in NUMBERS:
            write_frame(bag, endoscope.render(number))
    return path


@pytest.fixture(scope='module')
def frames(bag: Path) -> list[StereoFrame]:
    with open_source(bag) as source:
        return list(source)


def answers(node: Graph, name: str, frames: list[StereoFrame], topic: str, kind: str, **given):
    """What the node publishes on the topic for each of the frames."""
    node.start(f'{name}_node', image_size=f'{WIDTH}x{HEIGHT}', **given)
    wait_for(lambda: node.status(name), 200, node.report)
    node.listen(topic, kind)

    def send(stamp: int, frame: StereoFrame) -> None:
        if name == 'stereo':
            node.send_info(frame.calibration)
            node.send_image(stamp, frame.right, 'right')
        node.send_image(stamp, frame.left)

    node.connect_by(lambda: send(next(node.clock), frames[0]), name)
    found = []
    for frame in frames:  # their stamps are before those that connected: another epoch
        send(frame.stamp, frame)
        found.append(node.answer(frame.stamp, topic))
    return found


@pytest.fixture
def node():
    with graph() as made:
        yield made


def test_disparity(node, bag, frames, tmp_path):
    found = [
        disparity_from_message(message)
        for message in answers(
            node, 'stereo', frames, 'disparity', 'stereo_msgs/msg/DisparityImage'
        )
    ]
    assert Infer('stereo')(bag, '--out', tmp_path) == 0
    judged = stereo.predicted(StereoStep(StereoSettings()), frames)
    for index, (disparity, (_, one)) in enumerate(zip(found, judged, strict=True)):
        assert np.isfinite(disparity).mean() > 0.5
        file = cv2.imread(str(tmp_path / f'disparity/{index:06d}.tiff'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(file, disparity)
        np.testing.assert_array_equal(one.disparity, disparity)


class Labelled(SegmentationDataset):
    """The frames, with the instances as classes."""

    def __init__(self, frames: list[StereoFrame], class_names: tuple[str, ...]) -> None:
        self.frames, self.class_names = frames, class_names

    def __len__(self):
        return len(self.frames)

    def name(self, index):
        return f'{index}'

    def image(self, index):
        return self.frames[index].left

    def labels(self, index):
        return self.frames[index].truth.instances


def test_labels(node, bag, frames, tmp_path):
    found = [
        decode_labels(message)
        for message in answers(
            node, 'semantic', frames, 'segmentation', 'sensor_msgs/msg/Image', **RUNTIME
        )
    ]
    assert Infer('semantic')(bag, '--out', tmp_path, *OPTIONS) == 0
    step = SemanticStep(SemanticSettings(**RUNTIME))
    judged = segmentation.predicted(step, Labelled(frames, step.class_names))
    for index, (labels, (_, one)) in enumerate(zip(found, judged, strict=True)):
        assert 0.01 < (labels > 0).mean() < 0.9
        file = cv2.imread(str(tmp_path / f'segmentation/{index:06d}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(file, labels)
        np.testing.assert_array_equal(one.labels, labels)


class WithInstances(InstanceDataset):
    """The frames, with their true instances."""

    def __init__(self, frames: list[StereoFrame], class_names: tuple[str, ...]) -> None:
        self.frames, self.class_names = frames, class_names

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, index):
        frame = self.frames[index]
        _, (class_ids, masks) = tracking.true_instances(frame.truth)
        return InstanceSample(f'{index}', frame.left, class_ids, masks)


def test_instances_and_tracks(node, bag, frames, tmp_path):
    # so low that there are duplicates, and that ids go to something in every frame
    settings = InstanceSettings(score_threshold=0.1, max_overlap=0.3, **RUNTIME)
    messages = answers(
        node,
        'instance',
        frames,
        'instances',
        'surgseg_ros/msg/InstrumentInstances',
        score_threshold=0.1,
        max_overlap=0.3,
        **RUNTIME,
    )
    words = ['--score-threshold', 0.1, '--max-overlap', 0.3, '--track', *OPTIONS]
    assert Infer('instances')(bag, '--out', tmp_path, *words) == 0
    published = [
        {**record, 'track_id': instance.track_id}
        for number, message in enumerate(messages, 1)
        for record, instance in zip(records_of(number, message), message.instances, strict=True)
    ]
    written = json.loads((tmp_path / 'detections.json').read_text())
    assert [one['track_id'] for one in written] == [one['track_id'] for one in published]
    assert written == published
    ids = [{instance.track_id for instance in message.instances} for message in messages]
    assert ids[0] & ids[1], 'something is tracked'
    assert 1 in ids[3], 'the gap begins a scene, whose first id is 1'

    step = InstanceStep(settings)
    dataset = WithInstances(frames, step.class_names)
    samples = [dataset[index] for index in range(len(dataset))]
    truth = coco_truth(
        [(HEIGHT, WIDTH)] * len(samples),
        [one for number, sample in enumerate(samples, 1) for one in sample.annotations(number)],
        step.class_names,
    )
    expected = average_precision(truth, published)
    assert str(instances.evaluate_step(step, dataset).metrics()) == str(expected)

    score = TrackingScore()
    for frame, message in zip(frames, messages, strict=True):
        slots, (_, masks) = tracking.true_instances(frame.truth)
        score.add(slots, masks, ids_of(message), masks_of(message))
    step.reset()
    with VirtualEndoscope(WIDTH, HEIGHT, **crossing.OPTIONS) as endoscope:
        judged = tracking.evaluate_step(step, endoscope, NUMBERS)
    assert judged.metrics() == score.metrics()


def masks_of(message) -> np.ndarray:
    masks = [instance_parts(one, HEIGHT, WIDTH) > 0 for one in message.instances]
    return np.array(masks).reshape(-1, HEIGHT, WIDTH)


def ids_of(message) -> np.ndarray:
    return np.array([one.track_id for one in message.instances], np.uint32)


def records_of(number: int, message) -> list[dict]:
    class_ids = np.array([one.class_id for one in message.instances], np.int64)
    scores = np.array([one.score for one in message.instances], np.float32)
    return records(number, class_ids, masks_of(message), scores)
