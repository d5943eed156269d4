"""Where an instrument is, from its mask, the disparity and the camera: see estimate.py."""
