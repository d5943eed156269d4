"""How one image holds the views of both cameras."""

import numpy as np

# columns and rows of views, and the words for it
STACKINGS = {
    'horizontal': (2, 1, 'both eyes side by side'),
    'vertical': (1, 2, 'left above right eye'),
    'mono': (1, 1, 'one eye'),
}


def told_stacking(width: int, height: int, left_only: bool = False) -> str | None:
    """Stacking if the shape of the pictures is unambiguous, else None.

    left_only: only the left view is needed; a doubtful shape then counts as one view.
    """
    if width >= 2 * height:
        return 'horizontal'
    if left_only:
        return 'mono'
    return 'vertical' if height > width else None


def split_eyes(image: np.ndarray, stacking: str) -> tuple[np.ndarray, np.ndarray]:
    """Left and right view in one image HxWxC; the image twice if it holds one view."""
    if stacking == 'mono':
        return image, image
    axis = 1 if stacking == 'horizontal' else 0
    half = image.shape[axis] // 2
    left, right = np.split(image, [half, 2 * half], axis)[:2]
    return np.ascontiguousarray(left), np.ascontiguousarray(right)
