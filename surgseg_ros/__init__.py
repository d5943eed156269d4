"""Perception for da Vinci-style surgical robots in ROS 2: frames in, instruments out."""

import os
import pkgutil

# OpenCV's own limit (frames.foreign.MAX_PIXELS), for formats whose headers we do not read; it
# looks when it is loaded. Before any other import.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(1 << 26))

# The generated messages (surgseg_ros.msg) lie in the installed package; this lets Python
# find them also when a checkout on sys.path shadows it.
__path__ = pkgutil.extend_path(__path__, __name__)

__version__ = '0.1.0'
