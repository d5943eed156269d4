"""What flows: stereo frames with their calibration, results, parts of instruments."""
