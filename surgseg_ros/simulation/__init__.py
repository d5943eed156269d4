"""The virtual stereo endoscope: images of surgery with exact ground truth (MuJoCo)."""
