"""Where a frame lies on the canvas that SAM looks at. Imports no torch."""

IMAGE_SIZE = 1024  # px: side of the canvas
PATCH = 16         # px per feature
GRID = 64          # features per side
CHANNELS = 256     # of a feature
LOW_RESOLUTION = 256  # side of the masks that the decoder draws


def frame_on_canvas(height: int, width: int, canvas: int = IMAGE_SIZE) -> tuple[int, int]:
    """Height and width in px that a frame has on the canvas: its longer side fills it.

    The frame lies at the top left; right and below is padding. Rounding is SAM's.
    """
    scale = canvas * 1.0 / max(height, width)
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)
