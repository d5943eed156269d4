"""Camera geometry: calibration, rectification, disparity to points. numpy, OpenCV, numba."""
