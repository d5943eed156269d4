"""Pictures for people: disparity and masks as colours. RGB uint8 throughout."""

import cv2
import numpy as np

from surgseg_ros.geometry.calibration import StereoCalibration

NEAR, FAR = 0.03, 0.15   # m: the working range of an endoscope, dark red to dark blue
INVALID = (40, 40, 40)


def colour_by_depth(
        disparity: np.ndarray, calibration: StereoCalibration,
        near: float = NEAR, far: float = FAR) -> np.ndarray:
    """HxW float32 px, NaN unknown -> HxWx3: near (m) is red, far blue, unknown dark grey.

    The scale is in inverse depth and the same for every frame, so colours compare over time.
    """
    strength = calibration.focal_length * calibration.baseline
    low, high = strength / far, strength / near
    level = np.clip((disparity - low) * (255 / (high - low)), 0, 255)
    colours = cv2.applyColorMap(np.nan_to_num(level).astype(np.uint8), cv2.COLORMAP_TURBO)
    picture = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)
    picture[np.isnan(disparity)] = INVALID
    return picture


def blend(image: np.ndarray, colours: np.ndarray, opacity: float) -> np.ndarray:
    """Lay HxWx3 `colours` over an HxWx3 image with this opacity (0..1)."""
    return cv2.addWeighted(image, 1 - opacity, colours, opacity, 0)


def caption(image: np.ndarray, text: str) -> np.ndarray:
    """Write `text` into the top left corner, in place; returns the image."""
    scale = image.shape[0] / 800
    origin = (int(14 * scale), int(34 * scale))
    for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, colour,
                    max(1, round(thickness * scale)), cv2.LINE_AA)
    return image
