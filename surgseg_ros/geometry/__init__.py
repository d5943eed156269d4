"""Camera geometry: calibration, rectification, disparity to points. numpy and OpenCV only."""
