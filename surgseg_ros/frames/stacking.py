"""How one image holds both eyes."""

import numpy as np

# columns and rows of eyes, and how to say it
STACKINGS = {
    'horizontal': (2, 1, 'both eyes side by side'),
    'vertical': (1, 2, 'left above right eye'),
    'mono': (1, 1, 'one eye'),
}


def told_stacking(width: int, height: int, left_only: bool = False) -> str | None:
    """Stacking that the shape of the pictures leaves no doubt about, else None.

    left_only: for those who look at the left eye only; what may be one eye is one then.
    """
    if width >= 2 * height:
        return 'horizontal'
    if left_only:
        return 'mono'
    return 'vertical' if height > width else None


def split_eyes(image: np.ndarray, stacking: str) -> tuple[np.ndarray, np.ndarray]:
    """Left and right in one image HxWxC; the image twice if it is one eye."""
    if stacking == 'mono':
        return image, image
    axis = 1 if stacking == 'horizontal' else 0
    half = image.shape[axis] // 2
    left, right = np.split(image, [half, 2 * half], axis)[:2]
    return np.ascontiguousarray(left), np.ascontiguousarray(right)
