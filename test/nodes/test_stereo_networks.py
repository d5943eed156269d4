"""stereo_node with a network: masks, labels, and what a wrong weight file brings."""

from pathlib import Path

import numpy as np
import pytest
from golden_recipe import fill_network
from harness import Graph, graph, wait_for
from synthetic_stereo import rectified_calibration, sloped_disparity, stereo_pair

from surgseg_ros import networks, predictors
from surgseg_ros.rosdata.images import decode_image, decode_labels
from surgseg_ros.rosdata.messages import cloud_from_message, disparity_from_message, stamp_of

torch = pytest.importorskip('torch', reason='networks need torch')

HEIGHT, WIDTH = 256, 320
CALIBRATION = rectified_calibration(WIDTH, HEIGHT)
LEFT, RIGHT = stereo_pair(sloped_disparity(HEIGHT, WIDTH))


@pytest.fixture(scope='module')
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('weights') / 'msdesis_light.pt'
    torch.save(fill_network(networks.create('msdesis_light')).state_dict(), path)
    return path


@pytest.fixture
def net():
    with graph() as made:
        yield made


def start(net: Graph, weights: Path, **parameters):
    process = net.start(
        'stereo_node',
        model='msdesis_light',
        weights=str(weights),
        image_size=f'{WIDTH}x{HEIGHT}',
        **parameters,
    )
    wait_for(lambda: net.status('stereo'), 90, net.report)
    return process


def test_all_outputs_are_those_of_the_predictor(net, weights):
    kinds = {
        'disparity': 'stereo_msgs/msg/DisparityImage',
        'tool_mask': 'sensor_msgs/msg/Image',
        'points2': 'sensor_msgs/msg/PointCloud2',
        'stereo/overlay': 'sensor_msgs/msg/Image',
    }
    for topic, kind in kinds.items():
        net.listen(topic, kind)
    process = start(net, weights, backend='openvino')
    net.connect(CALIBRATION, LEFT, RIGHT)
    stamp = next(net.clock)
    net.send_pair(stamp, LEFT, RIGHT)
    wait_for(lambda: all(stamp in net.stamps(topic) for topic in kinds), 20, net.report)
    found = {
        topic: next(m for m in net.received[topic] if stamp_of(m) == stamp) for topic in kinds
    }
    expected = predictors.create('msdesis_light', weights=weights, backend='openvino').predict(
        LEFT, RIGHT
    )
    np.testing.assert_array_equal(disparity_from_message(found['disparity']), expected.disparity)
    mask = decode_labels(found['tool_mask'])
    np.testing.assert_array_equal(mask, expected.tool_mask)
    np.testing.assert_array_equal(cloud_from_message(found['points2'])['label'], mask)
    assert decode_image(found['stereo/overlay']).shape == LEFT.shape
    assert_without_torch(process.pid)


def assert_without_torch(pid: int) -> None:
    """Once the export is cached, a node on OpenVINO does not load torch."""
    assert 'libtorch' not in Path(f'/proc/{pid}/maps').read_text()


def test_late_subscribers_get_the_labels(net, weights):
    start(net, weights, backend='openvino')
    net.listen('tool_mask/label_info', 'vision_msgs/msg/LabelInfo', latched=True)
    info = wait_for(lambda: net.received['tool_mask/label_info'], 20)[0]
    assert [(c.class_id, c.class_name) for c in info.class_map] == [(0, 'tissue'), (1, 'tool')]


def test_another_image_size_is_prepared_when_it_comes(net, weights):
    net.listen('disparity', 'stereo_msgs/msg/DisparityImage')
    start(net, weights, backend='openvino')
    left, right = LEFT[:200, :300].copy(), RIGHT[:200, :300].copy()
    net.connect(rectified_calibration(300, 200), left, right)
    stamp = next(net.clock)
    net.send_pair(stamp, left, right)
    wait_for(lambda: stamp in net.stamps('disparity'), 60, net.report)
    assert net.received['disparity'][-1].image.width == 300


@pytest.mark.parametrize(
    'content, words',
    [
        ({'layer.weight': torch.zeros(3)}, 'msdesis_light'),
        (b'this is no checkpoint', 'not a plain state_dict'),
        (None, 'needs weights'),
    ],
)
def test_unusable_weights_fail_configuration_with_one_sentence(net, tmp_path, content, words):
    path = tmp_path / 'wrong.pt'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    process = net.start(
        'stereo_node',
        model='msdesis_light',
        image_size=f'{WIDTH}x{HEIGHT}',
        weights=str(path) if content else '',
    )
    status = wait_for(lambda: net.status('stereo'), 90, net.report)
    assert words in status.message
    assert len([line for line in process.lines if 'ERROR' in line]) == 1
    assert 'Traceback' not in ''.join(process.lines)
