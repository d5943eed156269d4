"""`surgseg evaluate stereo` of a bag with a standard deviation of the disparity, and without."""

import json

import numpy as np
import pytest
from fake_frames import fake_frames

from surgseg_ros.bags import BagWriter, make_message
from surgseg_ros.bags.stereo_bag import write_frame
from surgseg_ros.cli import main
from surgseg_ros.rosdata import messages

TYPES = {
    'disparity': 'stereo_msgs/msg/DisparityImage',
    'disparity_stddev': 'sensor_msgs/msg/Image',
}


def write(bag, stddev):
    with BagWriter(bag) as writer:
        for frame in fake_frames(2):
            write_frame(writer, frame)
            header = messages.header(make_message, frame.stamp, 'left')
            truth, calibration = frame.truth.disparity, frame.calibration
            found = truth - np.float32(calibration.principal_offset) + 1
            outputs = {
                'disparity': messages.disparity_image(make_message, header, found, calibration)
            }
            if stddev is not None:
                sigma = np.full(truth.shape, stddev, np.float32)
                outputs['disparity_stddev'] = messages.image(make_message, header, sigma, '32FC1')
            for name, message in outputs.items():
                writer.write(f'/endoscope/{name}', TYPES[name], message, frame.stamp)


def test_calibration_and_sparsification(tmp_path, capsys):
    for stddev, shares in ((1.1, (100, 100)), (0.6, (0, 100)), (0.4, (0, 0))):
        write(tmp_path / f'{stddev}.mcap', stddev)
        figures = tmp_path / 'figures.json'
        arguments = [
            'evaluate',
            'stereo',
            str(tmp_path / f'{stddev}.mcap'),
            '--json',
            str(figures),
        ]
        assert main(arguments) == 0
        found = json.loads(figures.read_text())
        assert found['all']['epe'] == pytest.approx(1)
        assert (found['stddev']['all']['within_1'], found['stddev']['all']['within_2']) == shares
        assert len(found['stddev']['all']['curve']) == 20
        assert '90 % left out' in capsys.readouterr().out


def test_without_a_standard_deviation(tmp_path, capsys):
    write(tmp_path / 'plain.mcap', None)
    assert main(['evaluate', 'stereo', str(tmp_path / 'plain.mcap')]) == 0
    assert 'sigma' not in capsys.readouterr().out


def test_frames_of_several_sources_count_together(tmp_path):
    sources = [f'sim:width=160,height=128,seed={seed},frames={seed}' for seed in (1, 2)]
    figures = tmp_path / 'figures.json'
    assert main(['evaluate', 'stereo', '--source', *sources, '--json', str(figures)]) == 0
    found = json.loads(figures.read_text())
    assert found['frames'] == 3
    assert found['all']['pixels'] > 2 * 128 * 100
