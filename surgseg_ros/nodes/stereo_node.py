"""stereo_node: rectified pairs in; disparity, depth, points, tool mask and a picture out."""

from typing import Any, ClassVar

import numpy as np
from sensor_msgs.msg import Image, PointCloud2
from stereo_msgs.msg import DisparityImage

from surgseg_ros.frames.results import StereoResult
from surgseg_ros.frames.stereo_frame import StereoFrame
from surgseg_ros.geometry.points import disparity_to_cloud, disparity_to_depth
from surgseg_ros.media import pictures
from surgseg_ros.nodes.managed_node import run
from surgseg_ros.nodes.messages import make_message
from surgseg_ros.nodes.network_parameters import IMAGE_SIZE, image_size
from surgseg_ros.nodes.parameters import Parameter
from surgseg_ros.nodes.settings_parameters import parameters_of, settings_from
from surgseg_ros.nodes.stereo_pair_node import StereoInput, StereoPairNode
from surgseg_ros.perception.stereo import StereoSettings, StereoStep
from surgseg_ros.rosdata import messages
from surgseg_ros.rosdata.messages import stamp_of
from surgseg_ros.simulation.camera import pinhole_pair


class StereoNode(StereoPairNode):
    """Disparity of a stereo endoscope by any stereo predictor."""

    OUTPUTS: ClassVar[tuple[str, ...]] = (
        'disparity',
        'depth',
        'points2',
        'tool_mask',
        'overlay',
        'left_image_rect',
        'right_image_rect',
    )
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        *StereoPairNode.PARAMETERS,
        *parameters_of(StereoSettings),
        IMAGE_SIZE,
        Parameter(
            'max_depth',
            0.5,
            'points further away than this, in m, are invalid in depth and points2',
            range=(0.01, 100.0),
            live=True,
        ),
        Parameter(
            'overlay_opacity',
            0.6,
            'of the depth colours over the image in ~/overlay',
            range=(0.0, 1.0),
            live=True,
        ),
        Parameter(
            'outputs',
            list(OUTPUTS),
            'what may be published; each is computed only while somebody subscribes',
            choices=OUTPUTS,
            live=True,
        ),
    )

    def __init__(self, **options: Any) -> None:
        self._step: StereoStep | None = None
        super().__init__('stereo', **options)

    def configure(self) -> None:
        """Load the model, compile the kernels, make the publishers."""
        self._step = StereoStep(settings_from(StereoSettings, self.p))
        self._step.prepare(*image_size(self.p))
        _compile_kernels()
        self.output('disparity', DisparityImage, 'disparity')
        self.output('depth', Image, 'depth')
        self.output('points2', PointCloud2, 'points2')
        self.output('overlay', Image, '~/overlay')
        if 'tool_mask' in self._step.settings.finds:
            self.output('tool_mask', Image, 'tool_mask')
            self.announce_labels('tool_mask', self._step.class_names)
        if self.p.rectify:
            self.output('left_image_rect', Image, 'left/image_rect')
            self.output('right_image_rect', Image, 'right/image_rect')

    def cleanup(self) -> None:
        """Release the model with the publishers."""
        super().cleanup()
        self._step = None

    def process(self, frame: StereoInput, wanted: list[str]) -> None:
        """Publish what is wanted of one pair."""
        self._publish_rectified(frame, wanted)
        predicted = [name for name in wanted if not name.endswith('image_rect')]
        if not predicted:
            return
        assert self._step
        self._step.settings = settings_from(StereoSettings, self.p)
        result = self._step(
            StereoFrame(stamp_of(frame), frame.left, frame.right, frame.calibration)
        )
        frame.milliseconds.update(result.milliseconds)
        self.publish_wanted(predicted, frame, result)

    def _publish_rectified(self, frame: StereoInput, wanted: list[str]) -> None:
        for name, image in (('left_image_rect', frame.left), ('right_image_rect', frame.right)):
            if name in wanted:
                self.publish(name, messages.image(make_message, frame.header, image, 'rgb8'))

    def _disparity_message(self, frame: StereoInput, result: StereoResult) -> Any:
        return messages.disparity_image(
            make_message,
            frame.header,
            result.disparity,
            frame.calibration,
            result.disparity_range,
            result.disparity_step,
        )

    def _depth_message(self, frame: StereoInput, result: StereoResult) -> Any:
        depth = disparity_to_depth(self._within_reach(frame, result), frame.calibration)
        return messages.image(make_message, frame.header, depth, '32FC1')

    def _points2_message(self, frame: StereoInput, result: StereoResult) -> Any:
        cloud = disparity_to_cloud(
            self._within_reach(frame, result),
            frame.calibration,
            rgb=frame.left,
            labels=result.tool_mask,
        )
        return messages.point_cloud2(make_message, frame.header, cloud)

    def _tool_mask_message(self, frame: StereoInput, result: StereoResult) -> Any:
        assert result.tool_mask is not None  # only networks, which have one, offer this output
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


def _compile_kernels() -> None:
    """Run the compiled kernels once, so that the first frame does not wait for the compiler."""
    disparity = np.ones((32, 32), np.float32)
    disparity_to_cloud(disparity, pinhole_pair(32, 32), rgb=np.zeros((32, 32, 3), np.uint8))


def main() -> int:
    """Run stereo_node."""
    return run(StereoNode)


if __name__ == '__main__':
    raise SystemExit(main())
