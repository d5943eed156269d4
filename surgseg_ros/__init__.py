"""Perception for da Vinci-style surgical robots in ROS 2: frames in, instruments out."""

import pkgutil

# The generated messages (surgseg_ros.msg) lie in the installed package; this lets Python
# find them also when a checkout on sys.path shadows it.
__path__ = pkgutil.extend_path(__path__, __name__)

__version__ = '0.1.0'
