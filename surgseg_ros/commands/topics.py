"""`surgseg topics`: what the nodes subscribe to, publish and can be told."""

from surgseg_ros.nodes.describe import add_arguments, run

__all__ = ['add_arguments', 'run']
