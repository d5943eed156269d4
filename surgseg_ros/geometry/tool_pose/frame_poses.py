"""The poses of all instruments of a frame."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.parts import Part
from surgseg_ros.frames.results import InstanceResult
from surgseg_ros.frames.tool_pose import ToolJoints, ToolPose
from surgseg_ros.geometry.tool_pose.estimate import estimate_tool
from surgseg_ros.geometry.tool_pose.evidence import Camera, Evidence
from surgseg_ros.geometry.tool_pose.instruments import InstrumentTable


def estimate_poses(
    instances: InstanceResult,
    calibration: StereoCalibration,
    table: InstrumentTable,
    disparity: np.ndarray | None = None,
    stddev: np.ndarray | None = None,
    previous: Mapping[int, ToolJoints] | None = None,
) -> list[ToolPose]:
    """Estimate one pose for each instance, in their order; slots count from 1.

    disparity, stddev: HxW float32 px as in geometry.points, NaN unknown, or None. previous: joints
    by track id, from the frame before. Raises ValueError where sizes differ.
    """
    for name, image in (('disparity', disparity), ('disparity_stddev', stddev)):
        if image is not None and len(instances.masks) and image.shape != instances.masks.shape[1:]:
            sizes = f'{_size(image.shape)}, the masks {_size(instances.masks.shape[1:])}'
            raise ValueError(f'{name} is {sizes}: they are not of one picture')
    camera = Camera.of(calibration)
    covered = instances.masks.sum(axis=0, dtype=np.uint8)
    found = []
    for index, mask in enumerate(instances.masks):
        parts = _parts(instances, index)
        name = instances.class_names[int(instances.class_ids[index])]
        track = 0 if instances.track_ids is None else int(instances.track_ids[index])
        others = (covered > mask) if len(instances.masks) > 1 else None
        pose = estimate_tool(
            Evidence(parts, camera, disparity, stddev, others),
            table.shape(name),
            (previous or {}).get(track),
        )
        found.append(
            replace(
                pose,
                slot=index + 1,
                track_id=track,
                class_id=int(instances.class_ids[index]),
                class_name=name,
                score=float(instances.scores[index]),
            )
        )
    return found


def _size(shape: tuple[int, ...]) -> str:
    return f'{shape[1]}x{shape[0]}'


def _parts(instances: InstanceResult, index: int) -> np.ndarray:
    parts: np.ndarray
    if instances.parts is not None:
        parts = instances.parts[index]
    else:
        parts = instances.masks[index].astype(np.uint8) * np.uint8(Part.UNKNOWN)
    return parts


def compile_kernels() -> None:
    """Estimate a made-up instrument once: a tapering strip that points into the picture."""
    parts = np.zeros((128, 160), np.uint8)
    parts[50:78, :80], parts[54:74, 80:110] = Part.SHAFT, Part.WRIST
    parts[58:70, 110:130] = Part.JAW
    shape = InstrumentTable({'default': _ANY}).shape('')
    disparity = np.full(parts.shape, 9.0, np.float32)
    estimate_tool(Evidence(parts, Camera(132.0, 79.5, 63.5, 0.0043), disparity), shape)


_ANY = {
    'radius': 4.0,
    'radius_stddev': 1.0,
    'pitch': 7.5,
    'wrist': 9.0,
    'jaws': 10.0,
    'length_stddev': 2.0,
    'jaw_width': [4.0, 2.0],
    'jaw_thickness': [2.0, 1.0],
    'pitch_limit': 80,
    'yaw_limit': 80,
    'opening_limit': 60,
    'symmetric': True,
}
