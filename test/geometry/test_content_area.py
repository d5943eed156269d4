"""The picture in the frame: drawn borders, dark scenes, real frames, and over time."""

import cv2
import numpy as np
import pytest

from surgseg_ros.geometry.content_area import ContentArea, ContentFinder, find_content


def tissue(height=512, width=640, seed=0, brightness=1.0):
    """A reddish, textured picture, RGB, with a grey tool that enters from the left."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0, 1, (12, 16)).astype('f4'), (width, height))
    image = np.stack([110 + 110 * coarse, 40 + 60 * coarse, 40 + 50 * coarse], axis=2)
    cv2.line(image, (0, height // 2), (width // 2, height // 2 + 30), (120, 120, 125), height // 9)
    image += rng.normal(0, 4, image.shape)
    return np.clip(brightness * image, 0, 255).astype(np.uint8)


def dark(shape, seed=1, noise=5):
    """What a sensor sees where there is nothing."""
    return np.random.default_rng(seed).integers(0, noise, shape, dtype=np.uint8)


def framed(picture, inside, **options):
    return np.where(inside[..., None], picture, dark(picture.shape, **options))


def bars(picture, height=720, width=1280, x=250, y=40, border=None):
    frame = (
        dark((height, width, 3)) if border is None else np.full((height, width, 3), border, 'u1')
    )
    frame[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    inside = np.zeros((height, width), bool)
    inside[y : y + picture.shape[0], x : x + picture.shape[1]] = True
    return frame, inside


def disc(radius=0.5, cx=0.5, cy=0.5, height=512, width=640):
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(columns - cx * width, rows - cy * height) < radius * height


def octagon(cut=0.25, height=512, width=640):
    rows, columns = np.mgrid[:height, :width]
    least = cut * height
    right, bottom = width - columns, height - rows
    corners = (rows + columns, rows + right, bottom + columns, bottom + right)
    return np.all([corner > least for corner in corners], axis=0)


def vignette(picture, power=6):
    rows, columns = np.mgrid[-1 : 1 : picture.shape[0] * 1j, -1 : 1 : picture.shape[1] * 1j]
    fall = np.clip(1 - (rows**2 + columns**2) / 2, 0, 1) ** (power / 2)
    return (picture * fall[..., None]).astype(np.uint8)


def assert_found(frame, inside, slack=4):
    """Nothing further than `slack` px outside is content, all that far inside is."""
    area = find_content(frame)
    assert area is not None
    assert_area(area, inside, slack)


def assert_area(area, inside, slack=4):
    kernel = np.ones((2 * slack + 1, 2 * slack + 1), np.uint8)
    outer = cv2.dilate(inside.astype(np.uint8), kernel) > 0
    inner = cv2.erode(inside.astype(np.uint8), kernel, borderValue=1) > 0
    assert not (area.mask & ~outer).any()
    assert (area.mask & inner).sum() > 0.995 * inner.sum()


@pytest.mark.parametrize('border', [None, 0, 15, 16])
@pytest.mark.parametrize('seed', [0, 1])
def test_bars(border, seed):
    assert_found(*bars(tissue(640, 800, seed), border=border))


@pytest.mark.parametrize('place', [(0, 0), (480, 80), (250, 0)])
def test_bars_on_some_sides_only(place):
    assert_found(*bars(tissue(640, 800), x=place[0], y=place[1]))


def test_letterbox():
    frame, inside = bars(tissue(360, 640), 480, 640, 0, 60)
    assert_found(frame, inside)


@pytest.mark.parametrize(
    'inside',
    [disc(), disc(0.3), disc(0.45, 0.4, 0.55), disc(0.6), octagon(), octagon(0.12)],
    ids=['disc', 'small', 'off-centre', 'cut', 'octagon', 'little'],
)
@pytest.mark.parametrize('noise', [1, 5, 16])
def test_discs_and_octagons(inside, noise):
    assert_found(framed(tissue(), inside, noise=noise), inside)


def test_jpeg():
    frame, inside = bars(tissue(640, 800))
    for quality in (95, 60):
        coded = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        assert_found(cv2.imdecode(coded, cv2.IMREAD_COLOR), inside, slack=6)


def test_text_and_an_inset_are_not_the_picture():
    frame, inside = bars(tissue(640, 800))
    cv2.putText(frame, 'PATIENT 0123', (5, 30), 0, 0.9, (255, 255, 255), 2)
    cv2.putText(frame, 'REC 00:12', (1070, 600), 0, 0.8, (255, 40, 40), 3)
    assert_found(frame, inside)
    frame[300:400, 40:180] = tissue(100, 140, seed=4)
    assert_found(frame, inside)


def test_without_a_border():
    for seed in range(4):
        assert find_content(tissue(seed=seed)) is None


@pytest.mark.parametrize('power', [2, 4, 6, 9])
def test_dark_corners_are_content(power):
    for seed in range(3):
        assert find_content(vignette(tissue(seed=seed), power)) is None


def test_a_dark_vignette_in_a_disc():
    assert_found(framed(vignette(tissue(), 4), disc()), disc())


def test_a_dark_picture_without_a_border_loses_nothing():
    for brightness in (0.0, 0.01, 0.03, 0.08, 0.2):
        assert find_content(tissue(brightness=brightness)) is None
    assert find_content(vignette(tissue(brightness=0.1))) is None
    shadow = (tissue() * np.linspace(0, 1, 640)[:, None]).astype(np.uint8)
    assert find_content(shadow) is None


def test_black_that_rectification_leaves():
    """Thin and bent inwards, so beside the hull."""
    rows, columns = np.mgrid[:512, :640]
    inside = rows > 5 - 5 * ((columns - 320) / 320) ** 2
    image = np.where(inside[..., None], tissue(), np.uint8(0))
    area = find_content(image)
    assert not (area.mask & ~inside).any()
    assert area.mask.mean() > 0.98


def test_describes_itself():
    frame, _ = bars(tissue(640, 800))
    x, y, width, height = find_content(frame).box
    assert abs(np.array([x - 250, y - 40, width - 800, height - 640])).max() <= 8
    assert str(find_content(frame)).startswith(f'{x},{y},{width},{height} (')
    assert str(ContentArea(np.ones((4, 4), bool))) == 'full'


class TestOverTime:
    def test_a_dark_or_smoky_scene_keeps_its_area(self):
        picture = tissue(640, 800)
        finder = ContentFinder()
        area = finder.update(bars(picture)[0])
        smoke = (0.1 * picture + 170).astype(np.uint8)
        for scene in (0 * picture, picture // 40, smoke, picture, vignette(picture)):
            assert_area(finder.update(bars(scene)[0]), bars(picture)[1])
        assert finder.update(bars(picture)[0]) is area

    def test_found_when_the_light_goes_on(self):
        finder = ContentFinder()
        frame, inside = bars(tissue(640, 800))
        assert finder.update(frame // 60).full
        assert_area(finder.update(frame), inside)

    def test_another_picture_is_looked_at_anew(self):
        finder = ContentFinder()
        for inside in (disc(), octagon(), disc(0.3), disc(0.55)):
            assert_area(finder.update(framed(tissue(), inside)), inside)
        assert finder.update(tissue()).full
        assert_area(finder.update(framed(tissue(), disc(0.4))), disc(0.4))

    def test_it_does_not_flicker(self):
        finder = ContentFinder()
        areas = [finder.update(framed(tissue(seed=seed), disc())) for seed in range(8)]
        assert all(area is areas[0] for area in areas)

    def test_a_clock_in_the_border_changes_nothing(self):
        finder = ContentFinder()
        frame, _ = bars(tissue(640, 800))
        area = finder.update(frame)
        cv2.putText(frame, '12:34:56', (1070, 600), 0, 1, (255, 255, 255), 3)
        assert finder.update(frame) is area

    def test_another_size_begins_anew(self):
        finder = ContentFinder()
        assert not finder.update(bars(tissue(640, 800))[0]).full
        assert finder.update(tissue()).mask.shape == (512, 640)
        assert finder.area.full

    def test_what_is_given_is_not_looked_for(self):
        frame, _ = bars(tissue(640, 800))
        assert ContentFinder('full').update(frame).full
        area = ContentFinder('10, 20,300,200').update(frame)
        assert area.box == (10, 20, 300, 200)
        assert area.mask.sum() == 300 * 200

    @pytest.mark.parametrize('setting', ['', 'none', '1,2,3', '1,2,3,x', '-1,0,5,5', '0,0,0,5'])
    def test_nonsense_is_refused(self, setting):
        with pytest.raises(ValueError, match='content_area is'):
            ContentFinder(setting)

    def test_a_box_outside_of_the_image_is_refused(self):
        with pytest.raises(ValueError, match='not inside of the image of 640x512 px'):
            ContentFinder('0,0,641,10').update(tissue())


class TestRealFrames:
    def test_endovis_as_distributed(self, shared_data):
        for index in (0, 1):
            path = shared_data / f'seg_parts_ev17/frame00{index}_image.png'
            area = find_content(cv2.imread(str(path)))
            x, y, width, height = area.box
            assert 320 <= x <= 332 and 28 <= y <= 40
            assert 1588 <= x + width <= 1600 and 1040 <= y + height <= 1052

    def test_round_pictures_of_laparoscopy(self, shared_data):
        for index in range(5):
            path = shared_data / f'seg_binary_cholec/video01_00000{index}_frame.png'
            area = find_content(cv2.imread(str(path)))
            assert 0.80 < area.mask.mean() < 0.85
            assert not area.mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()

    def test_a_dark_round_picture(self, shared_data):
        area = find_content(cv2.imread(str(shared_data / 'inst_coco/4_22450.jpg')))
        assert 0.88 < area.mask.mean() < 0.96

    def test_pictures_that_fill_the_frame(self, shared_data):
        scared = shared_data / 'stereo_scared_d1k2'
        for side in ('left', 'right'):  # but for a few px that rectification left empty
            area = find_content(cv2.imread(str(scared / f'd1k2_000000_{side}.png')))
            assert area is None or area.mask.mean() > 0.995
        for name in ('2_L', '6_R', '11_L'):
            assert find_content(cv2.imread(str(shared_data / f'pose_thrust/{name}.jpg'))) is None

    def test_a_video_has_one_area(self, shared_data):
        video = cv2.VideoCapture(str(shared_data / 'seg_video_intel/short_source.mp4'))
        finder = ContentFinder()
        areas = [finder.update(frame) for ok, frame in iter(video.read, (False, None)) if ok]
        assert len(areas) == 20
        assert all(area is areas[0] for area in areas)
        assert 0.6 < areas[0].mask.mean() < 0.63
