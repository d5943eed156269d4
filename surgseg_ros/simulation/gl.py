"""MuJoCo with its off-screen OpenGL context, or one sentence that says what is missing."""

import os
import sys

NO_GL = (
    'The virtual endoscope needs an OpenGL library for off-screen rendering: install the Debian '
    'packages libegl1 and libgl1-mesa-dri (apt install libegl1 libgl1-mesa-dri).'
)

if sys.platform == 'linux':
    os.environ.setdefault('MUJOCO_GL', 'egl')  # before MuJoCo's first import, which reads it

try:
    import mujoco

    if os.environ.get('MUJOCO_GL') == 'egl':  # also when MuJoCo was imported without asking for it
        from mujoco.egl import GLContext
    else:
        from mujoco import GLContext
except ModuleNotFoundError:
    raise
except (AttributeError, ImportError, OSError) as error:  # what PyOpenGL makes of a missing library
    raise RuntimeError(NO_GL) from error

__all__ = ['NO_GL', 'make_context', 'mujoco']


def make_context(width: int, height: int) -> GLContext:
    """Return an off-screen context for images up to this size; RuntimeError without OpenGL."""
    try:
        return GLContext(width, height)
    except (AttributeError, ImportError, OSError, RuntimeError) as error:
        raise RuntimeError(NO_GL) from error
