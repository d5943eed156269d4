"""Where the instruments are, and how far from tissue, from masks and disparity."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.frames.tissue_distance import TissueDistance
from surgseg_ros.frames.tool_pose import ToolJoints, ToolPose
from surgseg_ros.geometry.points import disparity_to_depth
from surgseg_ros.geometry.tissue import TissueSurface, tissue_distances, without_instruments
from surgseg_ros.geometry.tool_pose.evidence import ASSUMED_STDDEV, Camera
from surgseg_ros.geometry.tool_pose.frame_poses import compile_kernels, estimate_poses
from surgseg_ros.geometry.tool_pose.instruments import InstrumentTable
from surgseg_ros.media.share import share
from surgseg_ros.perception.components import labelled_instances
from surgseg_ros.perception.settings import check, setting
from surgseg_ros.perception.step import Step
from surgseg_ros.rosdata.messages import NANOSECONDS
from surgseg_ros.tracking.instance_tracker import InstanceTracker
from surgseg_ros.tracking.pose_filter import PoseFilter


@dataclass(frozen=True)
class PoseSettings:
    """What PoseStep does; see settings.setting."""

    instruments: str | None = setting(
        None,
        'YAML table of radius, lengths and limits by class',
        unset='',
        absent='config/instruments.yaml of the package',
    )
    max_tools: int = setting(4, 'instruments that get a slot', range=(1, 16))
    filtering: bool = setting(True, 'filter poses over time', live=True)
    predict: bool = setting(
        False,
        'also publish poses of instruments that are not visible, marked PREDICTED',
        live=True,
    )
    max_gap: int = setting(
        10,
        'longest gap, in frames, after which the track of an instrument continues',
        range=(0, 1000),
        live=True,
    )
    dilation: float = setting(
        0.012,
        "dilation of instruments in tissue outputs, as a share of the picture's width",
        range=(0.0, 0.2),
        live=True,
    )
    warn_distance: float = setting(
        0.005,
        'distance from tissue, m, below which there is a warning',
        range=(0.0, 0.1),
        live=True,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PoseResult:
    """tools: left optical frame. tissue: HxW float32 px, disparity without instruments, or None.

    tissue_depth: the same in m. distances: of each instrument from tissue.
    """

    tools: tuple[ToolPose, ...]
    tissue: np.ndarray | None = None
    tissue_depth: np.ndarray | None = None
    distances: tuple[TissueDistance, ...] = ()
    milliseconds: Mapping[str, float] = field(default_factory=dict)


class PoseStep(Step[PoseSettings]):
    """instances, disparity -> poses, filtered over frames, and tissue."""

    def __init__(self, settings: PoseSettings) -> None:
        super().__init__(settings)
        table = settings.instruments or share() / 'config' / 'instruments.yaml'
        self._table = InstrumentTable.read(table)
        self._filter = PoseFilter(max_tools=settings.max_tools)
        self.forget()

    def prepare(self, height: int, width: int) -> None:
        """Compile the kernels, so that the first frame does not wait."""
        compile_kernels()

    def forget(self) -> None:
        """Drop tracks."""
        self._filter.reset()
        self._tracker = InstanceTracker()
        self._joints: dict[int, ToolJoints] = {}

    def instances_of(
        self, stamp: int, labels: np.ndarray, class_names: tuple[str, ...]
    ) -> InstanceResult:
        """Connected regions of HxW uint8 labels, tracked; see components.labelled_instances."""
        result = labelled_instances(labels, class_names)
        ids = self._tracker.update(stamp / NANOSECONDS, result.class_ids, result.masks)
        return replace(result, track_ids=ids)

    def __call__(
        self,
        stamp: int,
        calibration: StereoCalibration,
        instances: InstanceResult,
        disparity: np.ndarray | None,
        stddev: np.ndarray | None = None,
        *,
        jumps: int = 0,
        fixed_from_camera: np.ndarray | None = None,
        tissue: bool = True,
    ) -> PoseResult:
        """Estimate one frame.

        stamp: ns. disparity: HxW float32 px, NaN unknown. fixed_from_camera: 4x4 where known.
        tissue: whether tissue is computed. ValueError where sizes differ.
        """
        if self._scenes.begins(stamp, jumps):
            self.forget()
        start = time.perf_counter()
        found = estimate_poses(
            instances, calibration, self._table, disparity, stddev, self._joints
        )
        self._joints = {pose.track_id: pose.joints for pose in found if pose.joints}
        tools = self._filtered(stamp, found, fixed_from_camera)
        done = time.perf_counter()
        milliseconds = {'pose': 1000 * (done - start)}
        result = PoseResult(tools, milliseconds=milliseconds)
        if tissue and disparity is not None:
            result = self._with_tissue(result, calibration, instances, disparity, stddev)
            milliseconds['tissue'] = 1000 * (time.perf_counter() - done)
        return result

    def _filtered(
        self, stamp: int, found: list[ToolPose], fixed_from_camera: np.ndarray | None
    ) -> tuple[ToolPose, ...]:
        settings = self.settings
        if not settings.filtering:
            return tuple(found[: settings.max_tools])
        self._filter.max_gap, self._filter.predicts = settings.max_gap, settings.predict
        return tuple(self._filter.update(stamp / NANOSECONDS, found, fixed_from_camera))

    def _with_tissue(
        self,
        result: PoseResult,
        calibration: StereoCalibration,
        instances: InstanceResult,
        disparity: np.ndarray,
        stddev: np.ndarray | None,
    ) -> PoseResult:
        covered = np.zeros(disparity.shape, bool)
        if len(instances.masks):
            np.any(instances.masks, axis=0, out=covered)
        margin = round(self.settings.dilation * disparity.shape[1])
        tissue = without_instruments(disparity, covered, margin)
        depth = disparity_to_depth(tissue, calibration)
        typical = ASSUMED_STDDEV
        if stddev is not None and np.isfinite(stddev[::8, ::8]).any():
            typical = float(np.nanmedian(stddev[::8, ::8]))
        surface = TissueSurface.of(depth, Camera.of(calibration), typical)
        distances = tissue_distances(result.tools, surface, self.settings.warn_distance)
        return replace(result, tissue=tissue, tissue_depth=depth, distances=tuple(distances))
