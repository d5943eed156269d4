"""Frames that arrive one after another: pairing, scenes, newest-wins work, counts. No ROS."""
