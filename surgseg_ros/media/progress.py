"""Progress bars on the terminal."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar('T')


def progress(items: Iterable[T], total: int | None = None, unit: str = 'frames') -> Iterable[T]:
    """Pass the items on under a progress bar; silent where standard error is no terminal."""
    shown: Iterable[T] = tqdm(items, total=total, unit=f' {unit}', disable=None)
    return shown
