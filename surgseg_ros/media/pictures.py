"""Pictures for people: disparity and masks as colours. RGB uint8 throughout."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from surgseg_ros.frames.calibration import StereoCalibration
from surgseg_ros.frames.results import InstanceResult

NEAR, FAR = 0.03, 0.15  # m: the working range of an endoscope, dark red to dark blue
INVALID = (40, 40, 40)
OUTLINE = (90, 255, 90)
# Classes on red tissue: cyan, yellow, blue, green, magenta, orange, violet, lime, white, brown.
CLASSES = (
    (0, 230, 230),
    (255, 230, 0),
    (40, 110, 255),
    (0, 200, 80),
    (255, 60, 255),
    (255, 140, 0),
    (150, 80, 255),
    (190, 255, 60),
    (255, 255, 255),
    (150, 90, 40),
)
UNLABELLED = (128, 128, 128)
_DARKEST = 40  # of 255, so that known values do not look black


def colour_by_depth(
    disparity: np.ndarray, calibration: StereoCalibration, near: float = NEAR, far: float = FAR
) -> np.ndarray:
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


def colour_by_disparity(
    disparity: np.ndarray, span: tuple[float, float], mask: np.ndarray | None = None
) -> np.ndarray:
    """HxW float32 px, NaN unknown -> HxWx3: dark purple at span[0], pale yellow at span[1].

    Tools (mask HxW, 0 elsewhere) are in shades of cyan, a colour that the map does not have.
    """
    low, high = span
    level = _DARKEST + np.clip((disparity - low) / max(high - low, 1e-6), 0, 1) * (255 - _DARKEST)
    level = np.nan_to_num(level).astype(np.uint8)
    picture = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    if mask is not None:
        grey = cv2.cvtColor(level, cv2.COLOR_GRAY2RGB)
        picture = np.where(mask[..., None] > 0, tint(grey, mask), picture)
    picture[np.isnan(disparity)] = INVALID
    return picture


def blend(image: np.ndarray, colours: np.ndarray, opacity: float) -> np.ndarray:
    """Lay HxWx3 `colours` over an HxWx3 image with this opacity (0..1)."""
    return cv2.addWeighted(image, 1 - opacity, colours, opacity, 0)


def class_colours(count: int) -> np.ndarray:
    """256x3 uint8: colours of the class ids below `count`, which repeat after ten.

    0 is the background and black; ids that no class has, and 255, are grey.
    """
    table = np.full((256, 3), UNLABELLED, np.uint8)
    table[0] = 0
    ids = np.arange(1, min(count, 255))
    table[ids] = np.array(CLASSES, np.uint8)[(ids - 1) % len(CLASSES)]
    return table


def overlay_classes(
    image: np.ndarray, labels: np.ndarray, class_names: Sequence[str], opacity: float
) -> np.ndarray:
    """Lay the colours of HxW uint8 class ids over a copy of an HxWx3 image.

    The background stays as it is; 255, unlabelled, is grey. The legend has the classes that are
    there, so that it hides little.
    """
    table = class_colours(len(class_names))
    picture = image.copy()
    cv2.copyTo(blend(image, table[labels], opacity), (labels > 0).astype(np.uint8), picture)
    there = [index for index in np.unique(labels) if 0 < index < len(class_names)]
    return legend(picture, {class_names[index]: tuple(table[index].tolist()) for index in there})


def overlay_instances(image: np.ndarray, result: InstanceResult, opacity: float) -> np.ndarray:
    """Lay the masks over a copy of the HxWx3 image, each with outline, class, score and track id.

    The colour is that of the track id, so that an instrument keeps it; without, of the place.
    """
    picture = image.copy()
    tracks = [0] * len(result.masks) if result.track_ids is None else result.track_ids.tolist()
    numbers = [track or place for place, track in enumerate(tracks, 1)]
    colours = [CLASSES[(number - 1) % len(CLASSES)] for number in numbers]
    for mask, colour in zip(result.masks, colours, strict=True):
        pixels = picture[mask].astype(np.float32)
        picture[mask] = (1 - opacity) * pixels + opacity * np.array(colour, np.float32)
        outline(picture, mask.astype(np.uint8), colour)
    for index, (track, colour) in enumerate(zip(tracks, colours, strict=True)):
        name, score = result.class_names[result.class_ids[index]], result.scores[index]
        title = f'{name} {score:.2f}' + (f' #{track}' if track else '')
        _write(picture, title, result.boxes[index, :2].astype(int), colour)
    return picture


def _write(image: np.ndarray, text: str, corner: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Write `text` on a dark box at x, y px, moved as far as the image needs."""
    scale = image.shape[0] / 1000
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = max(min(int(corner[0]), image.shape[1] - width), 0)
    y = max(min(int(corner[1]), image.shape[0] - below), height)
    image[y - height : y + below, x : x + width] //= 4
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)


def legend(image: np.ndarray, colours: Mapping[str, tuple[int, int, int]]) -> np.ndarray:
    """Write names beside their colours on a dark box in the bottom left corner, in place."""
    if not colours:
        return image
    scale = image.shape[0] / 1000
    line, square = round(32 * scale), round(20 * scale)
    width = max(
        cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0] for name in colours
    )
    above = max(image.shape[0] - line * len(colours) - line // 2, 0)
    image[above:, : width + 3 * square] //= 4
    for row, (name, colour) in enumerate(colours.items()):
        top = above + row * line + line // 2
        cv2.rectangle(
            image, (square // 2, top), (3 * square // 2, top + square), colour, cv2.FILLED
        )
        cv2.putText(
            image,
            name,
            (2 * square, top + square),
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            (255, 255, 255),
            1,
            cv2.LINE_AA,
        )
    return image


def tint(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Copy of an HxWx3 image in which the pixels of a mask (HxW, 0 elsewhere) are shades of cyan.

    The darkest shade is still cyan, because instruments may be black. None leaves the copy as it
    is.
    """
    picture = image.copy()
    if mask is not None and mask.any():
        chosen = mask > 0
        level = image[chosen].max(axis=1, keepdims=True).astype(np.float32)
        picture[chosen] = np.hstack([0.2 * level, 60 + 0.76 * level, 70 + 0.72 * level])
    return picture


def outline(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = OUTLINE) -> None:
    """Draw the outlines of an HxW uint8 mask into an HxWx3 image, in place."""
    lines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, lines, -1, colour, 1, cv2.LINE_AA)


def caption(image: np.ndarray, text: str) -> np.ndarray:
    """Write `text` on a dark bar in the top left corner, in place; returns the image."""
    scale = image.shape[0] / 800
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    corner = (width + int(16 * scale), height + int(22 * scale))
    cv2.rectangle(image, (0, 0), corner, (0, 0, 0), cv2.FILLED)
    cv2.putText(
        image,
        text,
        (int(8 * scale), height + int(10 * scale)),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        (255, 255, 255),
        1,
        cv2.LINE_AA,
    )
    return image
