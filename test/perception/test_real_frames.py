"""The defaults on real frames: `pytest -rP test/perception/test_real_frames.py` prints figures.

The frames are for research use and not part of this repository; without them these skip.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from surgseg_ros.frames.results import InstanceResult, StereoResult
from surgseg_ros.frames.stereo_frame import LeftFrame, StereoFrame
from surgseg_ros.metrics.uncertainty import uncertainty_metrics
from surgseg_ros.perception.instances import InstanceSettings, InstanceStep
from surgseg_ros.perception.semantic import SemanticSettings, SemanticStep
from surgseg_ros.perception.stereo import StereoSettings, StereoStep

pytest.importorskip('torch', reason='networks need torch')

CROP = np.s_[28:1052, 320:1600]  # EndoVis 2017 as distributed -> as it is used
# every pixel has its greatest class: nothing that keeps false alarms away
PLAIN = SemanticSettings(
    pixel_threshold=0.5, foreground_threshold=0.0, least_region=0.0, one_type=False
)


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def video(path: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    while (read := capture.read())[0]:
        yield cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)


@pytest.fixture(scope='module')
def endovis(shared_data: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images of 1920x1080 px, and where an instrument is."""
    pairs = []
    for index in range(2):
        stem = f'{shared_data}/seg_parts_ev17/frame00{index}'
        parts = cv2.imread(f'{stem}_parts.png', cv2.IMREAD_UNCHANGED)
        pairs.append((read(Path(f'{stem}_image.png')), parts.reshape(1080, 1920, -1).any(axis=2)))
    return pairs


@pytest.fixture(scope='module')
def tool_free(shared_data: Path) -> dict[str, list[np.ndarray]]:
    """Both images of SCARED, and the left ones of SurgT: no instrument is in view."""
    scared = shared_data / 'stereo_scared_d1k2'
    surgt = video(shared_data / 'stereo_surgt/video.mp4')
    return {
        'SCARED': [read(scared / f'd1k2_000000_{side}.png') for side in ('left', 'right')],
        'SurgT': [np.ascontiguousarray(both[:, :1280]) for both in surgt],
    }


def overlap(labels: np.ndarray, tool: np.ndarray) -> float:
    """IoU of whatever instrument with the truth."""
    return float(((labels > 0) & tool).sum() / ((labels > 0) | tool).sum())


def test_a_border_costs_nothing(endovis: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for image, tool in endovis:
        raw = overlap(SemanticStep(SemanticSettings())(LeftFrame(0, image)).labels, tool)
        part = LeftFrame(0, np.ascontiguousarray(image[CROP]))
        cropped = overlap(SemanticStep(SemanticSettings())(part).labels, tool[CROP])
        plain = overlap(SemanticStep(PLAIN)(LeftFrame(0, image)).labels, tool)
        print(f'EndoVis 2017, IoU: raw {raw:.3f}, cropped {cropped:.3f}, raw at 0.5 {plain:.3f}')
        assert raw > cropped - 0.03
        assert raw >= plain - 0.002  # to the third digit


def test_tissue_is_no_instrument(tool_free: dict[str, list[np.ndarray]]) -> None:
    for settings, most in ((PLAIN, 1.0), (SemanticSettings(), 0.07)):
        for name, images in tool_free.items():
            step = SemanticStep(settings)
            shares = [(step(LeftFrame(0, image)).labels > 0).mean() for image in images]
            print(
                f'{name}, called an instrument {"by default" if most < 1 else "at 0.5"}: mean '
                f'{100 * np.mean(shares):.1f} %, most {100 * max(shares):.1f} %'
            )
            assert max(shares) <= most


def test_instances_are_instruments(
    shared_data: Path, tool_free: dict[str, list[np.ndarray]]
) -> None:
    step = InstanceStep(InstanceSettings())
    images = [image for some in tool_free.values() for image in some]
    without = sum(not len(step(LeftFrame(0, image)).masks) for image in images)
    frames = list(video(shared_data / 'seg_video_intel/short_source.mp4'))
    both = sum(on_both_sides(step(LeftFrame(0, image))) for image in frames)
    print(f'{without} of {len(images)} images without an instrument have no instance')
    print(f'{both} of {len(frames)} frames with two instruments have both')
    assert without >= 8
    assert both >= 15


def on_both_sides(result: InstanceResult) -> bool:
    """The video shows one instrument that comes from the left and one from the right."""
    middle = (result.boxes[:, 0] + result.boxes[:, 2]) / 2
    return bool((middle < 960).any() and (middle > 960).any())


@pytest.fixture(scope='module')
def scared(shared_data: Path) -> tuple[np.ndarray, StereoResult, np.ndarray]:
    """Left image, what sgbm finds, and the truth, px, NaN unknown."""
    folder = shared_data / 'stereo_scared_d1k2'
    left, right = (read(folder / f'd1k2_000000_{side}.png') for side in ('left', 'right'))
    truth = cv2.imread(str(folder / 'd1k2_000000_disparity_left.tiff'), cv2.IMREAD_UNCHANGED)
    result = StereoStep(StereoSettings())(StereoFrame(0, left, right))
    return left, result, np.where(truth > 0, truth, np.float32(np.nan))


def test_disparity(scared: tuple[np.ndarray, StereoResult, np.ndarray]) -> None:
    left, result, truth = scared
    error = np.abs(result.disparity - truth)
    coverage = np.isfinite(error).sum() / np.isfinite(truth).sum()
    border = black_border(left)
    known = np.isfinite(result.disparity)
    print(
        f'SCARED d1k2: EPE {np.nanmean(error):.3f} px at {100 * coverage:.1f} %, '
        f'{known[border].sum()} of {border.sum()} px of the black border known'
    )
    assert np.nanmean(error) <= 0.35
    assert coverage >= 0.95
    assert border.sum() > 300 and not known[border].any()


def black_border(image: np.ndarray) -> np.ndarray:
    """Black that reaches the edge of the frame; single black pixels amid highlights are not it."""
    black = (image.max(axis=2) <= 2).astype(np.uint8)
    framed = cv2.copyMakeBorder(black, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(framed, None, (0, 0), 2)
    return framed[1:-1, 1:-1] == 2


def test_standard_deviation(scared: tuple[np.ndarray, StereoResult, np.ndarray]) -> None:
    """The truth is known in steps of 0.5 px; its mean over 5x5 px, of which two thirds are known,
    is finer than what is judged."""
    _, result, truth = scared
    known = np.isfinite(truth).astype(np.float32)
    mean = cv2.blur(np.nan_to_num(truth), (5, 5)) / np.maximum(cv2.blur(known, (5, 5)), 1e-6)
    for name, disparity in (('as published', truth), ('mean of 5x5', mean)):
        one = uncertainty_metrics(result.disparity, result.stddev, disparity, known > 0)
        print(
            f'SCARED d1k2, truth {name}: {one.within_1:.1f} and {one.within_2:.1f} % of the '
            f'errors within 1 and 2 sigma, Bad3 {one.bad3:.2f} %, of the best 90 % '
            f'{one.bad3_best:.2f} %, AUSE {one.ause:.2f} of {one.ause_constant:.2f}'
        )
    assert 60 <= one.within_1 <= 76
    assert 90 <= one.within_2 <= 98
    assert one.bad3_best <= one.bad3 / 2
