"""The virtual stereo endoscope: images of surgery with exact ground truth (MuJoCo).

    from surgseg_ros.simulation import VirtualEndoscope
    with VirtualEndoscope(seed=3) as endoscope:
        frame = endoscope.render(0)          # or: for frame in endoscope

A frame is a geometry.stereo_frame.StereoFrame with its calibration and GroundTruth. It is a pure
function of the parameters and its index: same seed, same pixels, in any order and any process.

What to choose
- seed: the operation - tissue, vessels, which instruments, how they move. Use disjoint ranges of
  seeds for training and testing; frames of one seed share their tissue.
- width, height: any size from 16x16; the focal length follows the width (1060 px at 1280 px).
  640x512 takes about 0.1-0.2 s per stereo frame on two cores, 1280x1024 four times that.
- rate: frames per simulated second. Instruments move at about 10 mm/s, so 10 Hz gives steps of a
  millimetre; lower it for varied single frames, raise it for tracking.
- num_tools: 0 to 4 (by default 2, or as the look draws), of four kinds (EndoVis 2017 ids:
  1 Bipolar Forceps, 2 Prograsp Forceps, 3 Large Needle Driver, 6 Monopolar Curved Scissors); kinds
  gives them by name instead, in slot order. Two tools enter from the sides, the third and fourth
  from above, unless ports says otherwise, for each tool: 0 right, 1 left, 2 upper right, 3 upper
  left.
- look: 'classic' (the default), 'surgery' (the variety of real frames: content areas, light,
  colours of tissue and tools, drapes, smoke, blur, JPEG) or 'unseen' (a drape, light and tool
  colours that no training set may have). without='border+light' leaves kinds out; see looks.KINDS.
- articulated: real da Vinci wrists (pitch to yaw axis 9.1 or 10.7 mm by kind, as the research
  kit's files say, instead of 7.5 for all), and roll, wrist pitch, wrist yaw and opening move over
  their whole ranges; what poses are measured on. By default so in every look except the
  classic one, where the wrist is straight.
- wrist_bend, wrist_yaw: largest pitch and yaw of the wrist, rad; 0 by default, the joints' limits
  (about 80 degrees) with articulated. At 0 the jaws stay on the shaft's centre line.
- kinematics: 'exact' or 'kit' adds what the robot's arms report (StereoFrame.arms): a virtual PSM
  for each instrument, whose remote centre is the instrument's port and whose base stands still.
  'kit' has constant joint offsets and a scale as a real kit has: about 5 mm and 3.6 degrees.
- crossing: seconds in which the instruments' tips go over to the other side of the image and
  back, passing over and behind each other; 0, the default, keeps each to its own side, where they
  meet now and then.
- noise: factor on the sensor's noise; 1 is a well-lit endoscope, 0 gives clean pictures.
- focal_length (px), baseline (m): of the ideal, distortion-free pair; default like a da Vinci.
- truth=False leaves the truth out. frames=N ends the iteration after N frames.
- threads: that shade at the same time, one per core by default.

render_left(index) gives the left image and its truth only, in about half the time; truth(index)
the truth alone, in a fraction.

Ground truth is of the left view: disparity = focal_length * baseline / depth, exact to 0.02 px;
parts and instances of the surface at each pixel's centre, so they have no soft edges; one
ToolPose for each instrument, also when it is hidden or outside the image, with keypoints, the
dVRK's control point, joints and insertion point. At 640 px width tissue
has 20-43 px of disparity, a shaft near the lens up to 95.

Tissue lies 40-120 mm from the camera. It fills the image from 5:4 to wider formats and down to
the default focal length; a wider view sees past its edge (black, disparity NaN).

Rendering needs an OpenGL library (Debian: libegl1 and libgl1-mesa-dri). Any thread may render, one
at a time; close() frees the renderer. After rendering a process must not load triton
(torch.compile, torch.onnx.export): two LLVMs collide.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgseg_ros.simulation.endoscope import VirtualEndoscope

__all__ = ['VirtualEndoscope']


def __getattr__(name: str) -> object:
    """Import the renderer, and with it MuJoCo and OpenGL, only when it is asked for."""
    if name == 'VirtualEndoscope':
        from surgseg_ros.simulation.endoscope import VirtualEndoscope

        return VirtualEndoscope
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
