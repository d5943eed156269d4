"""Class ids from label images as people have them: ids of 8 or 16 bits, a palette, colours."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surgseg_ros.datasets.base import check_ids
from surgseg_ros.media.image_files import read_bytes, read_rgb
from surgseg_ros.metrics.segmentation import UNLABELLED

Colour = tuple[int, int, int]


def read_labels(
    path: Path,
    class_names: Sequence[str],
    colours: Mapping[Colour, int] | None = None,
    ids: Mapping[int, int] | None = None,
) -> np.ndarray:
    """HxW uint8 class ids, 255 unlabelled.

    colours: class id by RGB colour, for images in colours; those of a palette count, too.
    ids: class id by the value in the file, where the values are others; without colours, the
    values of a palette are its indices. Raises ValueError that names the file and the value.
    """
    if colours is not None:
        return _by_colour(path, colours)
    values = _indices(path)
    if ids is not None:
        return _by_id(path, values, ids)
    if values.dtype == np.uint16 and values.max(initial=0) > UNLABELLED:
        raise ValueError(f'{path} has label {values.max()}, expected class ids of at most 255')
    return check_ids(values.astype(np.uint8), class_names, path)


def _by_colour(path: Path, colours: Mapping[Colour, int]) -> np.ndarray:
    red, green, blue = np.moveaxis(read_rgb(path).astype(np.uint32), -1, 0)
    codes = (red << 16) + (green << 8) + blue
    known = {r << 16 | g << 8 | b: number for (r, g, b), number in colours.items()}
    found, places = np.unique(codes, return_inverse=True)
    wrong = [code for code in found.tolist() if code not in known]
    if wrong:
        colour = [wrong[0] >> 16, wrong[0] >> 8 & 255, wrong[0] & 255]
        raise ValueError(f'{path} has the colour {colour}, which no class has')
    table = np.array([known[code] for code in found.tolist()], np.uint8)
    labels: np.ndarray = table[places.reshape(codes.shape)]
    return labels


def _by_id(path: Path, values: np.ndarray, ids: Mapping[int, int]) -> np.ndarray:
    found, places = np.unique(values, return_inverse=True)
    wrong = [value for value in found.tolist() if value not in ids and value != UNLABELLED]
    if wrong:
        raise ValueError(f'{path} has label {wrong[0]}, which no class has')
    table = np.array([ids.get(value, UNLABELLED) for value in found.tolist()], np.uint8)
    labels: np.ndarray = table[places.reshape(values.shape)]
    return labels


def _indices(path: Path) -> np.ndarray:
    """HxW as stored: grey values, or the indices of a palette, which OpenCV does not give."""
    from PIL import Image

    data = read_bytes(path)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode in ('P', 'L', '1'):
                return np.asarray(image.convert('L') if image.mode == '1' else image)
            if image.mode in ('I', 'I;16', 'I;16B'):
                return np.asarray(image).astype(np.uint16)
            pixels = np.asarray(image)
    except Exception as error:  # broken bytes lead to any, SyntaxError for one
        raise ValueError(f'{path} is not an image that can be read') from error
    if pixels.ndim == 3 and (pixels[..., :3] == pixels[..., :1]).all():
        return pixels[..., 0]
    raise ValueError(
        f'{path} is in colours ({image.mode}), expected a class id per pixel: say which colour is '
        'which class with colours'
    )
