"""What lies between the lit scene and the recorded picture: air, lens, screen and codec.

Looks other than the classic one pass through here; each step does nothing where its parameters
are neutral. Images are HxWx3; light is linear float32, pictures are uint8.
"""

import cv2
import numpy as np

from surgseg_ros.simulation.looks import Border, Degradation, Light
from surgseg_ros.simulation.noise import fractal_noise

REFERENCE_WIDTH = 640  # px, at which the looks state blur
_TEXT = ('PSM1', '00:41:07', 'ZOOM 2X', 'CAM L')


def lit(light: np.ndarray, look: Light, eye: int, distance: float = 1.0) -> np.ndarray:
    """Return light under this exposure, white balance and fall-off.

    The camera's automatic exposure makes up for tissue at `distance` times the usual one.
    """
    light = light if distance == 1.0 else light * np.float32(distance**2)
    if look.neutral:
        return light
    height, width = light.shape[:2]
    gain = np.array(look.white, np.float32) * look.exposure * (look.right if eye else 1.0)
    x, y = _grid(width, height, look.centre)
    far = np.clip((x * x + y * y) / 2.0, 0.0, 1.5)
    fade = 1.0 / (1.0 + 3.0 * look.falloff * far) - 0.15 * look.falloff * far
    shade = np.maximum(fade, 0.02)[..., None].astype(np.float32)
    shaded: np.ndarray = (light * shade * gain).astype(np.float32)
    return shaded


def blurred(
    light: np.ndarray, look: Degradation, seed: int, frame: np.random.Generator
) -> np.ndarray:
    """Return light through smoke and an unsteady, defocused lens; the same for both cameras."""
    height, width = light.shape[:2]
    scale = width / REFERENCE_WIDTH
    if look.smoke:
        light = _through_smoke(light, look.smoke, np.random.default_rng([seed, 7]))
    if look.defocus * scale > 0.2:
        light = cv2.GaussianBlur(light, (0, 0), look.defocus * scale)
    moved, length, angle = frame.random() < look.moved, frame.random(), frame.uniform(0, np.pi)
    pixels = int(round(length * look.motion * scale))
    if moved and pixels > 1:
        light = cv2.filter2D(light, -1, _streak(pixels, angle))
    return light


def recorded(
    image: np.ndarray, border: Border, area: np.ndarray | None, look: Degradation
) -> np.ndarray:
    """Return the picture as a recorder stores it: interlacing, border, text, JPEG."""
    if look.interlaced:
        image = image.copy()
        image[1:-1:2] = (image[:-2:2].astype(np.uint16) + image[2::2]) // 2
    if area is not None:
        share = area[..., None]
        image = (image * share + border.level * (1.0 - share) + 0.5).astype(np.uint8)
    if border.text:
        image = _with_text(image)
    if look.jpeg:
        image = _compressed(image, look.jpeg)
    return image


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """Return the picture after JPEG of this quality."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded here
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def content_area(border: Border, width: int, height: int) -> np.ndarray | None:
    """Return each pixel's share of content, HxW float32, 1 inside; None where all is content."""
    if border.shape == 'full':
        return None
    x, y = _grid(width, height, border.shift)
    if border.shape == 'bars':
        outside = np.maximum(np.abs(x) - border.size, np.abs(y) - border.height)
    else:
        x = x * (width / height)
        outside = np.hypot(x, y) - border.size
        if border.shape == 'octagon':
            reach = np.maximum(np.abs(x), np.abs(y))
            outside = np.maximum(reach, (np.abs(x) + np.abs(y)) / np.sqrt(2)) - border.size
    soft = max(border.soft, 2.0 / height)
    visible: np.ndarray = np.clip(-outside / soft, 0.0, 1.0).astype(np.float32)
    return visible


def _grid(width: int, height: int, centre: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of pixels from this centre, in half widths and half heights."""
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1 - np.float32(centre[0])
    y = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1 - np.float32(centre[1])
    return np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))


def _through_smoke(light: np.ndarray, smoke: float, rng: np.random.Generator) -> np.ndarray:
    height, width = light.shape[:2]
    field = cv2.resize(fractal_noise(rng, 128, 3, 4), (width, height))
    veil = np.clip(smoke * (0.6 + 0.6 * field), 0.0, 0.9)[..., None]
    veiled: np.ndarray = (light * (1.0 - veil) + 0.42 * veil).astype(np.float32)
    return veiled


def _streak(length: int, angle: float) -> np.ndarray:
    """A kernel that smears along a line of this length."""
    size = length | 1
    kernel = np.zeros((size, size), np.float32)
    middle, reach = size // 2, 0.5 * (length - 1)
    dx, dy = reach * np.cos(angle), reach * np.sin(angle)
    start = round(middle - dx), round(middle - dy)
    cv2.line(kernel, start, (round(middle + dx), round(middle + dy)), 1.0)
    streak: np.ndarray = kernel / kernel.sum()
    return streak


def _with_text(image: np.ndarray) -> np.ndarray:
    """Burn a few words into the upper left corner, as recorders do."""
    image = np.ascontiguousarray(image)
    step = max(8, image.shape[0] // 24)
    for line, word in enumerate(_TEXT, 1):
        where = (step // 2, line * step)
        cv2.putText(image, word, where, cv2.FONT_HERSHEY_SIMPLEX, step / 30, (235, 235, 235), 1)
    return image
