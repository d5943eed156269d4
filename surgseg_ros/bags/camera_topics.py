"""Which topics of a bag are the images and camera_info of a stereo camera."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from surgseg_ros.bags.reader import BagError, BagReader
from surgseg_ros.frames.foreign import printable
from surgseg_ros.rosdata.frame_messages import TRUTH_TYPES

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')

# The best of several images of one camera, as image_pipeline names them; others come after.
_PREFERENCE = ('image_rect_color', 'image_rect', 'image_color', 'image_raw')
_WORDS = (('left', 'right'), ('Left', 'Right'), ('LEFT', 'RIGHT'))
_LETTER = r'(?<![A-Za-z])l(?![A-Za-z])'  # camera_l, l/image
_NUMBERED = re.compile(r'(?<=[A-Za-z_])([01])(?!\d)')  # infra1, cam0, camera_0


@dataclass(frozen=True)
class StereoTopics:
    """Names of the topics that make up a stereo camera in a bag; truth by its relative name.

    stacking: how the images of `left`, which is `right` then, hold both views (one of
    frames.stacking.STACKINGS); None if each camera has its own topic.
    """

    left: str
    right: str
    left_info: str
    right_info: str
    truth: dict[str, str] = field(default_factory=dict)
    stacking: str | None = None

    @property
    def rectified(self) -> bool:
        """Whether the images are called rectified, as image_pipeline does."""
        return _image_name(self.left).startswith('image_rect')


def stereo_topics(
    bag: BagReader,
    left: str | None = None,
    right: str | None = None,
    left_info: str | None = None,
    right_info: str | None = None,
    stacking: str | None = None,
    left_only: bool = False,
) -> StereoTopics:
    """Find the stereo camera of a bag, by types and names.

    A pair of images differs in `left` and `right`, in `l` and `r` or, without such a pair, in a
    number (infra1 and infra2); of a camera's images the rectified one is taken. Topics that are
    given are used unchanged; with stacking, `left` is the topic that holds both images.
    left_only: accept a bag of one camera. Raises BagError, naming the candidates, unless there is
    exactly one camera.
    """
    given = {'left_info': left_info, 'right_info': right_info}
    for name in filter(None, (left, right, left_info, right_info)):
        _check_there(bag, name, left)
    pairs = _image_pairs(bag)
    if stacking:
        return _stacked(bag, left or _only(bag, 'both eyes in one image'), stacking, given)
    if left and right:
        return _paired(bag, left, right, given)
    if right:
        found = [one for one, other in pairs.items() if other == right]
        left = found[0] if found else None
    cameras = _cameras(pairs)
    if left is None and not cameras and left_only:
        return _stacked(bag, _only(bag, 'one eye'), 'mono', given)
    if left is None and len(cameras) != 1:
        raise BagError(
            f'{bag.path} needs the left image topic of a stereo pair; it has: '
            f'{_listed(cameras.values())}{_advice(bag) if not cameras else ""}'
        )
    left = left or next(iter(cameras.values()))
    if left not in pairs and left_only:
        return _stacked(bag, left, 'mono', given)
    if left not in pairs:
        raise BagError(
            f'{bag.path} has no stereo pair with left image {printable(left)}; it has: '
            f'{_listed(pairs)}{_advice(bag) if not pairs else ""}'
        )
    return _paired(bag, left, pairs[left], given)


def _paired(bag: BagReader, left: str, right: str, given: dict[str, str | None]) -> StereoTopics:
    return StereoTopics(
        left,
        right,
        given['left_info'] or _info(left),
        given['right_info'] or _info(right),
        _truth(bag, left),
    )


def _stacked(
    bag: BagReader, topic: str, stacking: str, given: dict[str, str | None]
) -> StereoTopics:
    """One topic; its camera_info are those of each eye, or for one eye its own."""
    left, right = (
        given[f'{side}_info']
        or (_info(topic) if stacking == 'mono' else _eye_info(bag, topic, side))
        for side in ('left', 'right')
    )
    return StereoTopics(topic, topic, left, right, _truth(bag, topic), stacking)


def _eye_info(bag: BagReader, topic: str, side: str) -> str:
    """camera_info of one eye of /rig/stereo/image_raw: of /rig/stereo/left, or of /rig/left."""
    camera = _camera(topic)
    candidates = [f'{place}/{side}/camera_info' for place in (camera, camera.rpartition('/')[0])]
    return next((name for name in candidates if name in bag.topics), candidates[0])


def _truth(bag: BagReader, left: str) -> dict[str, str]:
    root = _camera(left).rpartition('/')[0]
    return {name: f'{root}/{name}' for name in TRUTH_TYPES if f'{root}/{name}' in bag.topics}


def _images(bag: BagReader) -> list[str]:
    return [name for name, topic in bag.topics.items() if topic.type_name in IMAGE_TYPES]


def _image_pairs(bag: BagReader) -> dict[str, str]:
    """Right image topic by left image topic."""
    images = sorted(_images(bag))
    for partners in (_named_partners, _numbered_partners):
        pairs = {
            left: right
            for left in images
            for right in [next((name for name in partners(left) if name in images), None)]
            if right is not None
        }
        if pairs:
            return pairs
    return {}


def _named_partners(left: str) -> Iterator[str]:
    """What the right eye of this topic may be called: the last word exchanged, then every one."""
    for word, other in _WORDS:
        if word in left:
            yield re.sub(f'{word}(?!.*{word})', other, left)
            yield left.replace(word, other)
            yield left.replace(word, other, 1)
    if re.search(_LETTER, left):
        yield re.sub(_LETTER, 'r', left)


def _numbered_partners(left: str) -> Iterator[str]:
    """infra1 -> infra2, cam0 -> cam1."""
    for match in _NUMBERED.finditer(left):
        yield f'{left[: match.start()]}{int(match[1]) + 1}{left[match.end() :]}'


def _cameras(pairs: dict[str, str]) -> dict[str, str]:
    """Best left image topic by camera."""
    cameras: dict[str, str] = {}
    for topic in sorted(pairs, key=_rank):
        cameras.setdefault(_camera(topic), topic)
    return cameras


def _only(bag: BagReader, what: str) -> str:
    """The one camera that the bag has images of."""
    cameras = _cameras(dict.fromkeys(_images(bag), ''))
    if len(cameras) != 1:
        raise BagError(
            f'{bag.path} needs the topic of the images with {what} (--left); it has: '
            f'{_listed(cameras.values())}'
        )
    return next(iter(cameras.values()))


def _advice(bag: BagReader) -> str:
    images = _images(bag)
    if not images:
        video = [name for name, topic in bag.topics.items() if 'Video' in topic.type_name]
        return f', but compressed video, which is not read: {_listed(video)}' if video else ''
    return (
        f' (of its images {_listed(images)} name two with --left and --right, or one that holds '
        'both eyes with --stacking)'
    )


def _check_there(bag: BagReader, name: str, left: str | None) -> None:
    if name not in bag.topics and name != left:  # of which more can be said
        raise BagError(f'{bag.path} has no topic {printable(name)}; it has: {_listed(bag.topics)}')


def _listed(names: Iterable[str]) -> str:
    return ', '.join(map(printable, names)) or 'none'


def _camera(topic: str) -> str:
    """Topic prefix of a camera: what is before /image_rect or /image_rect/compressed."""
    return _uncompressed(topic).rpartition('/')[0]


def _image_name(topic: str) -> str:
    return _uncompressed(topic).rpartition('/')[2]


def _uncompressed(topic: str) -> str:
    return topic.removesuffix('/compressed')


def _rank(topic: str) -> tuple[int, bool, str]:
    name = _image_name(topic)
    known = _PREFERENCE.index(name) if name in _PREFERENCE else len(_PREFERENCE)
    return known, topic.endswith('/compressed'), topic


def _info(topic: str) -> str:
    return f'{_camera(topic)}/camera_info'
