"""The virtual stereo endoscope: images of surgery with exact ground truth (MuJoCo)."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgseg_ros.simulation.endoscope import VirtualEndoscope

if sys.platform == 'linux':
    os.environ.setdefault('MUJOCO_GL', 'egl')  # MuJoCo reads it when first imported

__all__ = ['VirtualEndoscope']


def __getattr__(name: str) -> object:
    """Import the renderer, and with it MuJoCo and OpenGL, only when it is asked for."""
    if name == 'VirtualEndoscope':
        from surgseg_ros.simulation.endoscope import VirtualEndoscope

        return VirtualEndoscope
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
