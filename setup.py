"""Serves `pip install .` where there is no ROS; with ROS, colcon uses CMakeLists.txt."""

from setuptools import setup

setup()
