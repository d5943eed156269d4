"""One picture per frame for people: image with instruments, measured depth, truth, error."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from surgseg_ros.evaluation.evaluators.stereo import ERROR_RANGE, error_picture
from surgseg_ros.evaluation.stereo import JudgedFrame
from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.media import pictures
from surgseg_ros.media.video import VideoFile


def mosaic(
    judged: JudgedFrame, labels: np.ndarray | None = None, class_names: Sequence[str] = ()
) -> np.ndarray:
    """2Hx2Wx3 uint8 RGB; the lower half only where the truth is known.

    labels: HxW uint8 class ids that were found, in colours over the image; true instruments are
    outlined.
    """
    frame, disparity = judged
    calibration = frame.calibration
    if calibration is None:
        raise ValueError('a picture of depth needs a calibration')
    rows = [[_annotated(frame, labels, class_names), _measured(frame, disparity, calibration)]]
    truth = frame.truth.disparity if frame.truth else None
    if truth is not None:
        expected = pictures.colour_by_depth(truth, calibration)
        rows.append([pictures.caption(expected, 'true depth'), _error(disparity, truth)])
    return np.vstack([np.hstack(row) for row in rows])


def write_video(path: Path, pictures_rgb: list[np.ndarray], rate: float) -> None:
    """Write HxWx3 uint8 RGB pictures as an MP4."""
    with VideoFile(path, rate) as video:
        for picture in pictures_rgb:
            video.write(picture)


def _annotated(
    frame: StereoFrame, labels: np.ndarray | None, class_names: Sequence[str]
) -> np.ndarray:
    picture, title = frame.left.copy(), 'left image'
    if labels is not None:
        picture, title = pictures.overlay_classes(picture, labels, class_names, 0.5), 'classes'
    if frame.truth is not None and frame.truth.instances is not None:
        for slot in np.unique(frame.truth.instances[frame.truth.instances > 0]):
            pictures.outline(picture, (frame.truth.instances == slot).astype(np.uint8))
        title += ', outlines are true'
    return pictures.caption(picture, f'{title}  {frame.stamp / 1e9:.2f} s')


def _measured(
    frame: StereoFrame, disparity: np.ndarray, calibration: StereoCalibration
) -> np.ndarray:
    near, far = 1000 * pictures.NEAR, 1000 * pictures.FAR
    colours = pictures.colour_by_depth(disparity, calibration)
    return pictures.caption(
        pictures.blend(frame.left, colours, 0.75),
        f'measured depth, {near:.0f} mm red to {far:.0f} mm blue',
    )


def _error(disparity: np.ndarray, truth: np.ndarray) -> np.ndarray:
    mean = float(np.nanmean(np.abs(disparity - truth)))
    return pictures.caption(
        error_picture(disparity, truth),
        f'error, black 0 to white {ERROR_RANGE:.0f} px; mean {mean:.2f} px',
    )
