"""One step per task: a stamped frame and settings in, a result out. No ROS.

A node, `surgseg infer`, `surgseg evaluate` and the benchmarks call the same step, so the same
frames with the same stamps and settings give the same result everywhere. There are
`stereo.StereoStep`, `semantic.SemanticStep` and `instances.InstanceStep`;
`pose.PoseStep` works on the results of others. How to write another:

1. Settings: a frozen dataclass of `settings.setting(default, meaning, range=..., live=...)`
   fields; with a network it inherits network.NetworkSettings. Node parameters
   (nodes/settings_parameters.py) and command options (commands/settings_arguments.py) are made
   from these fields, so a new setting is one field here and appears in both.
2. The step: a class that inherits step.Step, with

       __init__(settings)     load what is needed; its errors are ValueError, OSError, ImportError
       prepare(height, width) make ready for images of this size, so that the first is not late
       __call__(frame, ...)   the result of one frame; ValueError rejects this frame only
       forget()               drop what was learned from earlier frames of a scene

   `__call__` begins with `self.observe(frame)`, which calls forget() where the frame begins a new
   scene (time has jumped; see streams/scenes.py), and reads `self.settings` once: live ones may
   have been replaced since the last frame. Time is the stamp of the frame, never a clock. Inputs
   besides the frame (results of other steps) are further arguments.
3. Results are frozen dataclasses of frames/results.py, with the milliseconds of each stage.

reset() forgets everything, as when a node is activated or a file ends.
"""
