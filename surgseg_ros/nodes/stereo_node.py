"""stereo_node: rectified pairs in; disparity, depth, points, tool mask and a picture out."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from sensor_msgs.msg import Image, PointCloud2
from stereo_msgs.msg import DisparityImage

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.results import StereoResult
from surgseg_ros.geometry.points import disparity_to_cloud, disparity_to_depth
from surgseg_ros.media import pictures
from surgseg_ros.nodes.managed_node import run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.network_parameters import IMAGE_SIZE
from surgseg_ros.nodes.parameters import Parameter, Parameters
from surgseg_ros.nodes.settings_parameters import parameters_of, settings_from
from surgseg_ros.nodes.stream import (
    LEFT,
    RIGHT,
    Frame,
    Input,
    Output,
    outputs_parameter,
    stereo_frame,
)
from surgseg_ros.nodes.stream_node import MAX_STAMP_DIFFERENCE, StreamNode
from surgseg_ros.perception.stereo import StereoSettings, StereoStep
from surgseg_ros.rosdata import messages
from surgseg_ros.simulation.camera import pinhole_pair

_FRAMES = 10  # over which the share of known pixels is averaged
RECTIFIED = ('left_image_rect', 'right_image_rect')  # outputs that need no matching


def _disparity(frame: Frame, result: StereoResult, p: Parameters) -> object:
    return messages.disparity_image(
        make_message,
        frame.header,
        result.disparity,
        frame.calibration,
        result.disparity_range,
        result.disparity_step,
    )


def _disparity_stddev(frame: Frame, result: StereoResult, p: Parameters) -> object:
    return messages.image(make_message, frame.header, _stddev(result), '32FC1')


def _stddev(result: StereoResult) -> np.ndarray:
    """Of the disparity, px; NaN if the model does not estimate it."""
    unknown = np.full(result.disparity.shape, np.nan, np.float32)
    return unknown if result.stddev is None else result.stddev


def _depth(frame: Frame, result: StereoResult, p: Parameters) -> object:
    depth = disparity_to_depth(_within_reach(frame, result, p), _calibration(frame))
    return messages.image(make_message, frame.header, depth, '32FC1')


def _points2(frame: Frame, result: StereoResult, p: Parameters) -> object:
    cloud = disparity_to_cloud(
        _within_reach(frame, result, p),
        _calibration(frame),
        rgb=frame[LEFT],
        labels=result.tool_mask,
        stddev=_stddev(result) if p.cloud_stddev else None,
    )
    return messages.point_cloud2(make_message, frame.header, cloud)


def _tool_mask(frame: Frame, result: StereoResult, p: Parameters) -> object:
    assert result.tool_mask is not None  # offered where the step finds it
    return messages.image(make_message, frame.header, result.tool_mask, 'mono8')


def _overlay(frame: Frame, result: StereoResult, p: Parameters) -> object:
    colours = pictures.colour_by_depth(result.disparity, _calibration(frame))
    picture = pictures.blend(frame[LEFT], colours, p.overlay_opacity)
    if result.tool_mask is not None:
        pictures.outline(picture, result.tool_mask)
    return messages.image(make_message, frame.header, picture, 'rgb8')


def _left_image_rect(frame: Frame, result: StereoResult | None, p: Parameters) -> object:
    return messages.image(make_message, frame.header, frame[LEFT], 'rgb8')


def _right_image_rect(frame: Frame, result: StereoResult | None, p: Parameters) -> object:
    return messages.image(make_message, frame.header, frame[RIGHT], 'rgb8')


def _calibration(frame: Frame) -> StereoCalibration:
    assert frame.calibration  # the node has both cameras
    return frame.calibration


def _within_reach(frame: Frame, result: StereoResult, p: Parameters) -> np.ndarray:
    """Disparity with the pixels beyond max_depth invalid."""
    calibration = _calibration(frame)
    least = calibration.focal_length * calibration.baseline / p.max_depth
    return np.where(result.disparity >= least, result.disparity, np.float32(np.nan))


class StereoNode(StreamNode[StereoStep]):
    """Disparity of a stereo endoscope by any stereo predictor."""

    INPUTS: ClassVar[tuple[Input[object], ...]] = (LEFT, RIGHT)
    CAMERAS: ClassVar[tuple[str, ...]] = ('left', 'right')
    OUTPUTS: ClassVar[tuple[Output, ...]] = (
        Output(
            'disparity',
            DisparityImage,
            'disparity',
            _disparity,
            '32FC1, px, without cx_left - cx_right; f in px, t = baseline in m; unknown is below '
            'min_disparity',
        ),
        Output(
            'disparity_stddev',
            Image,
            'disparity_stddev',
            _disparity_stddev,
            'estimated by sgbm, or assumed: 32FC1, px; NaN unknown',
        ),
        Output('depth', Image, 'depth', _depth, '32FC1, m; NaN unknown'),
        Output(
            'points2',
            PointCloud2,
            'points2',
            _points2,
            'organised x y z rgb (and label, where the model has a tool mask), m, left optical '
            'frame; NaN unknown, is_dense false',
        ),
        Output(
            'tool_mask',
            Image,
            'tool_mask',
            _tool_mask,
            'found by a network: mono8, class id per pixel, 0 tissue, 1 tool',
            labelled=True,
        ),
        Output(
            'overlay',
            Image,
            '~/overlay',
            _overlay,
            'depth in colours over the left image, for people',
        ),
        Output(
            'left_image_rect',
            Image,
            'left/image_rect',
            _left_image_rect,
            'with `rectify`: the left image as every node sees it',
        ),
        Output(
            'right_image_rect',
            Image,
            'right/image_rect',
            _right_image_rect,
            'with `rectify`: the right image as every node sees it',
        ),
    )
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *StreamNode.PARAMETERS,
        MAX_STAMP_DIFFERENCE,
        *parameters_of(StereoSettings),
        IMAGE_SIZE,
        Parameter(
            'max_depth',
            0.5,
            'depth, m, beyond which points are invalid in depth and points2',
            range=(0.01, 100.0),
            live=True,
        ),
        Parameter(
            'min_known',
            0.2,
            'recent share of the picture with a depth below max_depth; less is a warning',
            range=(0.0, 1.0),
            live=True,
        ),
        Parameter(
            'cloud_stddev',
            False,
            'add a field stddev to points2: standard deviation of z, m, NaN where unknown',
            live=True,
        ),
        Parameter(
            'overlay_opacity',
            0.6,
            'opacity of the depth colours over the image in ~/overlay',
            range=(0.0, 1.0),
            live=True,
        ),
        outputs_parameter(OUTPUTS),
    )

    def __init__(self, **options: object) -> None:
        self._known, self._seen = 0.0, False
        super().__init__('stereo', **options)

    def create_step(self) -> StereoStep:
        """Make the matcher; errors as predictors.create."""
        _compile_kernels()
        return StereoStep(settings_from(StereoSettings, self.p))

    def outputs(self) -> Sequence[Output]:
        """Tool masks of a network that finds them, rectified images where the node makes them."""
        missing = set() if self.p.rectify else set(RECTIFIED)
        if 'tool_mask' not in self.step.settings.finds:
            missing.add('tool_mask')
        if not self.step.settings.tells_stddev:
            missing.add('disparity_stddev')
        return [output for output in self.OUTPUTS if output.name not in missing]

    def process(self, frame: Frame, wanted: Sequence[str]) -> StereoResult | None:
        """Match, unless only rectified images are wanted."""
        if set(wanted) <= set(RECTIFIED):
            return None
        result = self.step(stereo_frame(frame))
        frame.milliseconds.update(result.milliseconds)
        picture = self.step.content.area
        reached = np.isfinite(_within_reach(frame, result, self.p))
        known = float(reached[picture.mask].mean() if picture else reached.mean())
        self._known += (known - self._known) / _FRAMES if self._seen else known
        self._seen = True
        self.doubt = self._doubt()
        return result

    def activate(self) -> None:
        """Reset the share of known pixels."""
        self._known, self._seen = 0.0, False
        super().activate()

    def details(self) -> Mapping[str, str]:
        """Recent share of known pixels, and where the picture is."""
        return {
            'known pixels [%]': f'{100 * self._known:.1f}' if self._seen else '',
            'content area': str(self.step.content.area or ''),
        }

    def _doubt(self) -> str:
        """Warn if hardly a pixel has a depth, the usual sign of exchanged cables."""
        if self._known >= self.p.min_known:
            return ''
        return (
            f'only {100 * self._known:.0f} % of the pixels have a depth below max_depth '
            f'(min_known is {100 * self.p.min_known:.0f} %): are the eyes exchanged, the same, or '
            'one of them upside down?'
        )


def _compile_kernels() -> None:
    """Run the compiled kernels once, so that the first frame does not wait for the compiler."""
    disparity = np.ones((32, 32), np.float32)
    disparity_to_cloud(disparity, pinhole_pair(32, 32), rgb=np.zeros((32, 32, 3), np.uint8))


def main() -> int:
    """Run stereo_node."""
    return run(StereoNode)


if __name__ == '__main__':
    raise SystemExit(main())
