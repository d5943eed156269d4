"""`surgseg fit-uncertainty`: the numbers behind the standard deviation of disparities."""

from surgseg_ros.evaluation.fit_uncertainty import add_arguments, run

__all__ = ['add_arguments', 'run']
