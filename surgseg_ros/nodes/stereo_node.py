"""stereo_node: rectified pairs in; disparity, depth, points, tool mask and a picture out."""

import math
import re
import time
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from sensor_msgs.msg import Image, PointCloud2
from stereo_msgs.msg import DisparityImage
from vision_msgs.msg import LabelInfo

from surgseg_ros import backends, messages, networks, pictures, predictors
from surgseg_ros.geometry.points import disparity_to_cloud, disparity_to_depth
from surgseg_ros.geometry.rectification import align_principal_points, true_disparity
from surgseg_ros.nodes.managed_node import LATCHED, run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.perception_node import PerceptionNode, StereoInput
from surgseg_ros.predictors.results import StereoResult
from surgseg_ros.predictors.scaling import predict_scaled
from surgseg_ros.simulation.camera import pinhole_pair


class StereoNode(PerceptionNode):
    """Disparity of a stereo endoscope by any stereo predictor."""

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        'disparity', 'depth', 'points2', 'tool_mask', 'overlay', 'left_image_rect',
        'right_image_rect')
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *PerceptionNode.PARAMETERS,
        Parameter('model', 'sgbm', 'stereo matcher', choices=predictors.stereo()),
        Parameter('weights', '', "file of the network's weights; sgbm needs none"),
        Parameter('backend', 'auto', 'what runs a network; auto: torch on a GPU, else the first '
                  'of the others that is installed', choices=('auto', *backends.available())),
        Parameter('precision', 'auto', 'arithmetic of a network; auto: f32, for bf16 moves '
                  'disparity', choices=('auto', *backends.PRECISIONS)),
        Parameter('threads', 0, 'CPU threads of a network, 0 all', range=(0, 256)),
        Parameter('image_size', '1280x1024', 'WIDTHxHEIGHT for which a network is prepared while '
                  'configuring; another size is prepared when it comes (seconds)'),
        Parameter('tool_threshold', 0.5, 'probability above which a pixel is a tool',
                  range=(0.001, 0.999), live=True),
        Parameter('max_disparity', 0, 'largest disparity searched by sgbm, in full-resolution px; '
                  '0 is 15 % of the image width', range=(0, 1024)),
        Parameter('scale', 1.0, 'size at which the model sees the images; outputs stay full-size',
                  range=(0.1, 1.0)),
        Parameter('max_depth', 0.5, 'points further away than this, in m, are invalid in depth '
                  'and points2', range=(0.01, 100.0), live=True),
        Parameter('overlay_opacity', 0.6, 'of the depth colours over the image in ~/overlay',
                  range=(0.0, 1.0), live=True),
        Parameter('outputs', list(OUTPUTS), 'what may be published; each is computed only while '
                  'somebody subscribes', choices=OUTPUTS, live=True),
    )

    def __init__(self, **options: Any) -> None:
        super().__init__('stereo', **options)

    def configure(self) -> None:
        """Load the model, compile the kernels, make the publishers."""
        self._predictor = self._create_predictor()
        _compile_kernels()
        self.output('disparity', DisparityImage, 'disparity')
        self.output('depth', Image, 'depth')
        self.output('points2', PointCloud2, 'points2')
        self.output('overlay', Image, '~/overlay')
        if self.p.model in networks.available():
            self.output('tool_mask', Image, 'tool_mask')
            self._announce_labels(networks.spec(self.p.model).class_names)
        if self.p.rectify:
            self.output('left_image_rect', Image, 'left/image_rect')
            self.output('right_image_rect', Image, 'right/image_rect')

    def cleanup(self) -> None:
        """Release the model with the publishers."""
        super().cleanup()
        self._predictor = None

    def _create_predictor(self) -> Any:
        weights = self.p.weights or None
        if self.p.model not in networks.available():
            return predictors.create(
                self.p.model, weights=weights, backend=self.p.backend, precision=self.p.precision,
                max_disparity=math.ceil(self.p.max_disparity * self.p.scale) or None)
        predictor = predictors.create(
            self.p.model, weights=weights, backend=self.p.backend, precision=self.p.precision,
            threads=self.p.threads or None)
        width, height = _parse_size(self.p.image_size)
        predictor.prepare(round(height * self.p.scale), round(width * self.p.scale))
        return predictor

    def _announce_labels(self, class_names: tuple[str, ...]) -> None:
        self._labels = self.publisher(LabelInfo, 'tool_mask/label_info', LATCHED)
        header = messages.header(make_message, self.get_clock().now().nanoseconds, '')
        self._labels.publish(messages.label_info(make_message, header, class_names))

    def process(self, frame: StereoInput) -> None:
        """Publish what is wanted of one pair."""
        self._publish_rectified(frame)
        wanted = [name for name in ('disparity', 'depth', 'points2', 'tool_mask', 'overlay')
                  if self.wanted(name)]
        if not wanted:
            return
        result = self._predict(frame)
        frame.milliseconds.update(result.milliseconds)
        start = time.perf_counter()
        for name in wanted:
            self.publish(name, getattr(self, f'_{name}_message')(frame, result))
        frame.milliseconds['publish'] = 1000 * (time.perf_counter() - start)

    def _predict(self, frame: StereoInput) -> StereoResult:
        """Disparity without cx_left - cx_right, NaN unknown."""
        if hasattr(self._predictor, 'threshold'):
            self._predictor.threshold = self.p.tool_threshold
        right = align_principal_points(frame.right, frame.calibration)
        result = predict_scaled(self._predictor, frame.left, right, self.p.scale)
        return replace(result, disparity=true_disparity(result.disparity, frame.calibration))

    def _publish_rectified(self, frame: StereoInput) -> None:
        for name, image in (('left_image_rect', frame.left), ('right_image_rect', frame.right)):
            if self.wanted(name):
                self.publish(name, messages.image(make_message, frame.header, image, 'rgb8'))

    def _disparity_message(self, frame: StereoInput, result: StereoResult) -> Any:
        return messages.disparity_image(
            make_message, frame.header, result.disparity, frame.calibration,
            result.disparity_range, result.disparity_step)

    def _depth_message(self, frame: StereoInput, result: StereoResult) -> Any:
        depth = disparity_to_depth(self._within_reach(frame, result), frame.calibration)
        return messages.image(make_message, frame.header, depth, '32FC1')

    def _points2_message(self, frame: StereoInput, result: StereoResult) -> Any:
        cloud = disparity_to_cloud(
            self._within_reach(frame, result), frame.calibration, rgb=frame.left,
            labels=result.tool_mask)
        return messages.point_cloud2(make_message, frame.header, cloud)

    def _tool_mask_message(self, frame: StereoInput, result: StereoResult) -> Any:
        assert result.tool_mask is not None   # only networks, which have one, offer this output
        return messages.image(make_message, frame.header, result.tool_mask, 'mono8')

    def _overlay_message(self, frame: StereoInput, result: StereoResult) -> Any:
        colours = pictures.colour_by_depth(result.disparity, frame.calibration)
        picture = pictures.blend(frame.left, colours, self.p.overlay_opacity)
        if result.tool_mask is not None:
            pictures.outline(picture, result.tool_mask)
        return messages.image(make_message, frame.header, picture, 'rgb8')

    def _within_reach(self, frame: StereoInput, result: StereoResult) -> np.ndarray:
        """Disparity with the pixels beyond max_depth invalid."""
        calibration = frame.calibration
        least = calibration.focal_length * calibration.baseline / self.p.max_depth
        return np.where(result.disparity >= least, result.disparity, np.float32(np.nan))


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if not match:
        raise ValueError(f'image_size is "{text}", expected WIDTHxHEIGHT such as 1280x1024')
    return int(match[1]), int(match[2])


def _compile_kernels() -> None:
    """Run the compiled kernels once, so that the first frame does not wait for the compiler."""
    disparity = np.ones((32, 32), np.float32)
    disparity_to_cloud(disparity, pinhole_pair(32, 32), rgb=np.zeros((32, 32, 3), np.uint8))


def main() -> int:
    """Run stereo_node."""
    return run(StereoNode)


if __name__ == '__main__':
    raise SystemExit(main())
