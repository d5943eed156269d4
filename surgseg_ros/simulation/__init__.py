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
- num_tools: 0 to 4, of four kinds (EndoVis 2017 ids: 1 Bipolar Forceps, 2 Prograsp Forceps,
  3 Large Needle Driver, 6 Monopolar Curved Scissors); kinds gives them by name instead, in slot
  order. Two tools enter from the sides, the third and fourth from above, unless ports says
  otherwise, for each tool: 0 right, 1 left, 2 upper right, 3 upper left.
- wrist_bend: largest pitch of the wrist, rad. At 0, the default, the jaws stay on the shaft's
  centre line, and so does the tool pose's origin, the midpoint of the jaw tips. With a bend the
  origin still is that midpoint and +z still runs along the shaft, but the shaft's centre line no
  longer passes through the origin.
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
ToolPose for each instrument, also when it is hidden or outside the image. At 640 px width tissue
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
