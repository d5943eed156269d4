"""`surgseg evaluate bag`: the real nodes on a bag, judged against its truth, and the report."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from surgseg_ros.bags import BagWriter
from surgseg_ros.bags.stereo_bag import write_frame
from surgseg_ros.cli import main
from surgseg_ros.evaluation import stereo
from surgseg_ros.evaluation.evaluators.stereo import StereoEvaluator
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.perception.stereo import StereoSettings, StereoStep
from surgseg_ros.sources import open_source

FRAMES = 5


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bag') / 'frames <1>.mcap'
    with (
        open_source(f'sim:frames={FRAMES},width=320,height=256,rate=2') as source,
        BagWriter(path) as writer,
    ):
        for frame in source:
            write_frame(writer, frame)
    return path


def judged_here(frames: list[StereoFrame]) -> StereoEvaluator:
    evaluator = StereoEvaluator()
    for sample, result in stereo.predicted(StereoStep(StereoSettings()), frames):
        evaluator.add(sample, result)
    return evaluator


def test_figures_are_those_of_the_step_and_the_report_needs_nothing_else(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / 'out', tmp_path / 'figures.json'
    words = ['evaluate', 'bag', str(bag), '--lockstep', '--out', str(out), '--json', str(figures)]
    assert main(words) == 0
    found = json.loads(figures.read_text())
    counts = {name: found['nodes']['stereo'][name] for name in ('paired', 'out', 'rejected')}
    assert counts == {'paired': str(FRAMES), 'out': str(FRAMES), 'rejected': '0'}
    with open_source(bag) as source:
        expected = judged_here(list(source)).figures()
    got = found['accuracy']['disparity']
    assert got['frames'] == FRAMES
    assert got['all']['epe'] == pytest.approx(expected['all']['epe'], abs=1e-6)
    page = (out / 'report.html').read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert 'stereo on frames &lt;1&gt;.mcap' in page and 'data:image/jpeg;base64,' in page
    assert 'report.html' in capsys.readouterr().out


def test_instances_and_their_track_ids_are_judged(bag: Path, tmp_path: Path) -> None:
    figures = tmp_path / 'figures.json'
    words = ['--pipeline', 'instance', '--out', str(tmp_path), '--json', str(figures)]
    assert main(['evaluate', 'bag', str(bag), *words]) == 0
    found = json.loads(figures.read_text())
    judged, frames = found['accuracy'], int(found['nodes']['instance']['out'])
    assert judged['instances']['frames'] == judged['track ids']['frames'] == frames > 0
    assert 0 < judged['instances']['ap50'] <= 1
    assert judged['track ids']['truths'] >= frames


def test_a_bag_without_truth_is_replayed_and_not_judged(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'no_truth.mcap'
    image = np.random.default_rng(0).integers(0, 256, (256, 320, 3), np.uint8)
    with open_source(bag) as source, BagWriter(path) as writer:
        calibration = next(iter(source)).calibration
        for second in (1, 2, 3):
            write_frame(writer, StereoFrame(second * 10**9, image, image, calibration))
    assert main(['evaluate', 'bag', str(path), '--lockstep', '--out', str(tmp_path / 'out')]) == 0
    assert 'disparity: not judged: there was no frame with true disparity' in (
        capsys.readouterr().out
    )


def test_what_cannot_be_played_is_said(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, sentence in (
        ([str(tmp_path / 'none.mcap')], 'there is no bag'),
        ([str(bag), 'loop:=true'], 'loop:= cannot be given'),
        ([str(bag), '--pipeline', 'stero'], "no pipeline is called 'stero'"),
    ):
        assert main(['evaluate', 'bag', *words, '--out', str(tmp_path / 'out')]) == 2
        assert sentence in capsys.readouterr().err
