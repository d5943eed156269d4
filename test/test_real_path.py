"""Real endoscope frames through the whole path: bag -> endoscope_node -> stereo_node -> bag.

The frames are for research use and not part of this repository; without them these skip.
"""

import cv2
import numpy as np
import pytest
from harness import graph, output, wait_for

from surgseg_ros.bags import BagReader, BagWriter
from surgseg_ros.bags.stereo_bag import write_frame
from surgseg_ros.evaluation.stereo import evaluate
from surgseg_ros.frames.stereo_frame import GroundTruth, StereoFrame
from surgseg_ros.geometry.rectification import vertical_residual
from surgseg_ros.rosdata.images import decode_image
from surgseg_ros.rosdata.messages import cloud_from_message
from surgseg_ros.simulation.camera import pinhole_pair
from surgseg_ros.sources import open_source


def read(path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def record(source, tmp_path, topics, stereo=(), replay=()):
    """Replay a bag in lockstep through stereo_node; return the bag recorded."""
    target = tmp_path / 'results.mcap'
    with graph() as net:
        recorder = net.start('recorder_node', bag=str(target), topics=list(topics))
        net.start('stereo_node', **dict(stereo))
        wait_for(lambda: net.status('recorder') and net.status('stereo'))
        replayed = net.surgseg('replay', str(source), '--lockstep', *replay)
        assert replayed.wait(120) == 0, output(replayed)
        wait_for(lambda: int(net.fresh_values('recorder')['messages']) > 0)
        net.stop(recorder)
    return target


def test_scared_pair(shared_data, tmp_path):
    """SCARED d1k2, 590x512: EPE <= 0.40 px at coverage >= 95 % through ROS."""
    folder = shared_data / 'stereo_scared_d1k2'
    truth = cv2.imread(str(folder / 'd1k2_000000_disparity_left.tiff'), cv2.IMREAD_UNCHANGED)
    truth = np.where(truth > 0, truth, np.float32(np.nan))
    left, right = (read(folder / f'd1k2_000000_{side}.png') for side in ('left', 'right'))
    # The pair comes rectified and without calibration; any camera of its size serves px figures.
    calibration = pinhole_pair(left.shape[1], left.shape[0])
    bag = tmp_path / 'scared.mcap'
    with BagWriter(bag) as writer:
        for second in range(1, 6):  # the first may precede the recorder's discovery
            write_frame(
                writer,
                StereoFrame(
                    second * 10**9, left, right, calibration, truth=GroundTruth(disparity=truth)
                ),
            )
    results = record(bag, tmp_path, ['disparity'])
    metrics = evaluate(results, bag).figures()['all']
    print(
        f'\nSCARED d1k2 through ROS: EPE {metrics["epe"]:.3f} px, coverage '
        f'{metrics["coverage"]:.2f} %, Bad3 {metrics["bad3"]:.2f} %'
    )
    assert metrics['epe'] <= 0.40
    assert metrics['coverage'] >= 95


def test_surgt_video_rectified_in_the_node(shared_data, tmp_path):
    """SurgT, unrectified 1280x1024: residual <= 0.5 px after rectification, plausible depth."""
    folder = shared_data / 'stereo_surgt'
    bag = tmp_path / 'surgt.mcap'
    with (
        open_source(folder / 'video.mp4', folder / 'calibration.yaml') as source,
        BagWriter(bag) as writer,
    ):
        for frame in source.first(4):
            write_frame(writer, frame)
    topics = ('left/image_rect', 'right/image_rect', 'points2')
    results = record(bag, tmp_path, topics, stereo={'rectify': True}.items())
    with BagReader(results) as reader:
        last = {item.topic.removeprefix('/endoscope/'): item.message for item in reader.messages()}
    left, right = (decode_image(last[f'{side}/image_rect']) for side in ('left', 'right'))
    residual, matches = vertical_residual(left, right)
    depth = cloud_from_message(last['points2'])['z']
    low, middle, high = 1000 * np.nanpercentile(depth, (1, 50, 99))
    print(
        f'\nSurgT through ROS: vertical residual {residual:.2f} px of {matches} matches; depth '
        f'{low:.0f} / {middle:.0f} / {high:.0f} mm (1 / 50 / 99 %), '
        f'{100 * np.isfinite(depth).mean():.0f} % of pixels'
    )
    assert residual == pytest.approx(0, abs=0.5)
    assert np.isfinite(depth).mean() > 0.75
    assert 40 < middle < 120 and high < 300
