"""How steps use the content area: models see its box, and results outside are removed."""

from dataclasses import replace

import numpy as np

from surgseg_ros.frames.results import InstanceResult, SemanticResult, StereoResult, mask_boxes
from surgseg_ros.geometry.content_area import Box, ContentArea


def cropped(image: np.ndarray, box: Box) -> np.ndarray:
    """The part of HxW or HxWxC inside a box, contiguous; the image itself if it is all of it."""
    x, y, width, height = box
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def box_of_both(left: ContentArea, right: ContentArea) -> Box:
    """The smallest box that holds both areas, so that disparities in it are those of the pair."""
    corners = [(x, y, x + w, y + h) for x, y, w, h in (left.box, right.box)]
    (x0, y0), (x1, y1) = np.min(corners, axis=0)[:2], np.max(corners, axis=0)[2:]
    return int(x0), int(y0), int(x1 - x0), int(y1 - y0)


def _placed(values: np.ndarray, box: Box, size: tuple[int, int], fill: float) -> np.ndarray:
    """Values ...xhxw of a box in an array ...xHxW that is `fill` around it."""
    x, y, width, height = box
    whole = np.full((*values.shape[:-2], *size), fill, values.dtype)
    whole[..., y : y + height, x : x + width] = values
    return whole


def semantic_in_frame(result: SemanticResult, area: ContentArea, outside: int) -> SemanticResult:
    """From the area's box to the frame; labels outside of the area become `outside`."""
    if area.full:
        return result
    labels = _placed(result.labels, area.box, area.mask.shape, outside)
    labels[~area.mask] = outside
    planes = result.probabilities
    if planes is not None:
        planes = _placed(planes, area.box, area.mask.shape, 0)
        planes[:, ~area.mask] = 0
        planes[0, ~area.mask] = 1
    return replace(result, labels=labels, probabilities=planes)


def instances_in_frame(result: InstanceResult, area: ContentArea) -> InstanceResult:
    """From the area's box to the frame; masks are clipped to the area, and empty ones dropped."""
    if area.full:
        return result
    masks = _placed(result.masks, area.box, area.mask.shape, 0) & area.mask
    parts = result.parts
    if parts is not None:
        parts = _placed(parts, area.box, area.mask.shape, 0) * masks
    result = replace(result, masks=masks, boxes=mask_boxes(masks), parts=parts)
    return result.chosen(np.flatnonzero(masks.any(axis=(1, 2))).tolist())


def stereo_in_frame(result: StereoResult, area: ContentArea, box: Box) -> StereoResult:
    """From a box to the frame; no disparity and no tool outside of the left camera's area."""
    if area.full:
        return result
    size, outside = area.mask.shape, ~area.mask
    disparity = _placed(result.disparity, box, size, np.nan)
    disparity[outside] = np.nan
    mask, sigma = result.tool_mask, result.stddev
    if mask is not None:
        mask = _placed(mask, box, size, 0)
        mask[outside] = 0
    if sigma is not None:
        sigma = _placed(sigma, box, size, np.nan)
        sigma[outside] = np.nan
    return replace(result, disparity=disparity, tool_mask=mask, stddev=sigma)


def only_matched_in(area: ContentArea, result: StereoResult, offset: float) -> StereoResult:
    """Remove disparities whose match is outside of the right camera's area.

    offset: px that disparities of the result lack to x_left - x_right.
    """
    sigma = result.stddev
    if sigma is not None:
        sigma = np.where(np.isnan(result.disparity), result.disparity, sigma)
    if area.full:
        return replace(result, stddev=sigma)
    known = np.isfinite(result.disparity)
    rows, columns = np.nonzero(known)
    matched = np.rint(columns - result.disparity[known] - offset).astype(int)
    matched = np.clip(matched, 0, area.mask.shape[1] - 1)
    unseen = ~area.mask[rows, matched]
    disparity = result.disparity.copy()
    disparity[rows[unseen], columns[unseen]] = np.nan
    if sigma is not None:
        sigma[rows[unseen], columns[unseen]] = np.nan
    return replace(result, disparity=disparity, stddev=sigma)
