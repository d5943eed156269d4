import cv2
import numpy as np
import pytest
from synthetic_stereo import extrinsics, raw_calibration

from surgseg_ros.geometry.calibration_checks import calibration_warnings
from surgseg_ros.geometry.calibration_files import read_calibration, write_camera_info

ENDOVIS = """Width: 1280                       // width of the images in pixels
Height: 1024                      // height of the images in pixels
Camera-0-F: 1084.21 1084.05       // left camera x,y focal dist in pixels
Camera-0-C: 580.02 506.79         // left camera x,y center in pixels
{left_skew}Camera-0-K: -0.00069 0.00195 0.00018 0.00000 0.00000      // left camera radial
Camera-1-F: 1083.43 1083.22       // right camera x,y focal dist in pixels
Camera-1-C: 680.91 505.81         // right camera x,y center in pixels
{right_skew}Camera-1-K: -0.00085 0.00245 0.00004 0.00000 0.00000      // right camera radial
Extrinsic-Omega: 0.01 -0.02 0.03  // left to right camera rotation
Extrinsic-T: -4.3499 0.0333 -0.0369  // left to right camera position{junk}"""
ENDOVIS_PLAIN = ENDOVIS.format(left_skew='', right_skew='', junk='')


def assert_same(calibration, other):
    for camera, twin in ((calibration.left, other.left), (calibration.right, other.right)):
        assert (camera.width, camera.height) == (twin.width, twin.height)
        for name in 'KDRP':
            np.testing.assert_allclose(getattr(camera, name), getattr(twin, name), atol=1e-12)


def write_opencv(path, metres, rectified, prefix='K'):
    calibration = raw_calibration()
    R, T = extrinsics(calibration)
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for n, camera in ((1, calibration.left), (2, calibration.right)):
        storage.write(f'{prefix}{n}', camera.K)
        storage.write(f'D{n}', camera.D)
        if rectified:
            P = camera.P.copy()
            P[0, 3] /= metres
            storage.write(f'R{n}', camera.R)
            storage.write(f'P{n}', P)
    storage.write('R', R)
    storage.write('T', T / metres)
    storage.release()
    return calibration


def test_camera_info_survives_writing_and_reading(tmp_path):
    calibration = raw_calibration()
    left, right = write_camera_info(calibration, tmp_path / 'new')
    assert_same(read_calibration(left, right), calibration)
    assert_same(read_calibration(tmp_path / 'new'), calibration)


@pytest.mark.parametrize('prefix', ['K', 'M'])
@pytest.mark.parametrize('rectified', [False, True])
@pytest.mark.parametrize('metres', [1.0, 1e-3])
def test_opencv_yaml_in_metres_and_millimetres(tmp_path, metres, rectified, prefix):
    expected = write_opencv(tmp_path / 'c.yml', metres, rectified, prefix)
    read = read_calibration(tmp_path / 'c.yml', size=(640, 512))
    assert read.baseline == pytest.approx(np.linalg.norm([0.0043, 0.0001, 0.00015]), rel=1e-9)
    for name in 'KDRP':
        np.testing.assert_allclose(
            getattr(read.right, name), getattr(expected.right, name), atol=1e-9
        )


@pytest.mark.parametrize('skew', [(False, False), (False, True), (True, True)])
@pytest.mark.parametrize('junk', ['', '\n{"name": "seq", "frames": [1.0 2.0]}\n'])
def test_endovis18_variants(tmp_path, skew, junk):
    lines = [f'Camera-{n}-Alpha: 0.00000   // skew\n' if has else '' for n, has in enumerate(skew)]
    path = tmp_path / 'camera_calibration.txt'
    path.write_text(ENDOVIS.format(left_skew=lines[0], right_skew=lines[1], junk=junk))
    calibration = read_calibration(path)
    assert (calibration.left.width, calibration.left.height) == (1280, 1024)
    assert calibration.left.K[0, 0] == 1084.21
    assert calibration.right.K[1, 2] == 505.81
    np.testing.assert_array_equal(calibration.right.D, [-0.00085, 0.00245, 0.00004, 0, 0])
    R, T = extrinsics(calibration)
    np.testing.assert_allclose(R, cv2.Rodrigues(np.array([0.01, -0.02, 0.03]))[0], atol=1e-9)
    np.testing.assert_allclose(T, [-4.3499e-3, 0.0333e-3, -0.0369e-3], atol=1e-9)


@pytest.mark.parametrize(
    'content, said',
    [
        ('hello', 'not a stereo calibration'),
        ('Camera-0-F: 1 2\n', 'no Width'),
        (ENDOVIS_PLAIN.replace('T: -4.3499', 'T: '), 'no Extrinsic-T'),
        ('%YAML:1.0\n---\nK1: [1, 2]\n', 'no K1 or M1'),
        ('%YAML:1.0\n---\nK1: !!opencv-matrix\n  data: [1., 2.]\n', '2 numbers in K1'),
        ('%YAML:1.0\n---\nK1: !!opencv-matrix\n  data: [a, 2.]\n', 'not numbers'),
        ('camera_matrix: [', 'not valid YAML'),
        ('camera_matrix: {data: [1]}', 'image_width'),
        ('- camera_matrix', 'expected a YAML mapping'),
        (b'\xff\xfe\x00camera_matrix', 'not text'),
    ],
)
def test_garbage_is_refused_in_one_sentence(tmp_path, content, said):
    path = tmp_path / 'bad.yaml'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=said) as error:
        read_calibration(path, path, size=(1280, 1024))
    assert str(path) in str(error.value) and '\n' not in str(error.value)


OPENCV = """%YAML:1.0
---
K1: &k !!opencv-matrix {data: [500., 0., 320., 0., 500., 256., 0., 0., 1.]}
K2: *k
D1: &d !!opencv-matrix {data: [0., 0., 0., 0., 0.]}
D2: *d
R: !!opencv-matrix {data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]}
T: !!opencv-matrix {data: [-4.3, 0., 0.]}
"""


def test_opencv_text_reads(tmp_path):
    (tmp_path / 'good.yaml').write_text(OPENCV)
    calibration = read_calibration(tmp_path / 'good.yaml', size=(640, 512))
    assert calibration.baseline == pytest.approx(0.0043)


@pytest.mark.parametrize(
    'content, said',
    [
        (
            OPENCV.replace('-4.3', '0.'),
            r'T between the cameras is \[0.0, 0.0, 0.0\], so there is no',
        ),
        (OPENCV.replace('-4.3', 'nan'), 'T between the cameras is'),
        (
            OPENCV.replace('[0., 0., 0., 0., 0.]', '[0., 0., 0.]'),
            'D of the left camera has 3 numbers',
        ),
        (OPENCV.replace('[500.', '[nan'), 'K of the left camera has values that are not finite'),
        (OPENCV.replace('500.', '0.'), 'K of the left camera has no positive focal length'),
        (OPENCV.replace('[1., 0., 0., 0., 1., 0., 0., 0., 1.]', str([1.0] * 9)), 'not a rotation'),
        (ENDOVIS_PLAIN.replace('T: -4.3499 0.0333 -0.0369', 'T: 0 0 0'), 'no baseline'),
        (
            ENDOVIS_PLAIN.replace('1-F: 1083.43 1083.22', '1-F: 0 0'),
            'right camera has no positive',
        ),
    ],
)
def test_no_pair_of_cameras_is_refused_in_one_sentence(tmp_path, content, said):
    path = tmp_path / 'bad.yaml'
    path.write_text(content)
    size = (640, 512) if 'YAML' in content else (1280, 1024)
    with pytest.raises(ValueError, match=said) as error:
        read_calibration(path, size=size)
    assert str(error.value).startswith(f'{path}: ') and '\n' not in str(error.value)


def test_missing_things_are_named(tmp_path):
    left, _ = write_camera_info(raw_calibration(), tmp_path)
    with pytest.raises(ValueError, match='give that of the right'):
        read_calibration(left)
    with pytest.raises(ValueError, match='640x512, expected 1280x1024'):
        read_calibration(tmp_path, size=(1280, 1024))
    with pytest.raises(FileNotFoundError, match='right.yml'):
        read_calibration(left, tmp_path / 'right.yml')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='holds no calibration'):
        read_calibration(tmp_path / 'empty')
    write_opencv(tmp_path / 'c.yml', 1.0, False)
    with pytest.raises(ValueError, match='give size'):
        read_calibration(tmp_path / 'c.yml')


def test_real_endoscopes_read_without_warning(shared_data):
    surgt = read_calibration(shared_data / 'stereo_surgt/calibration.yaml', size=(1280, 1024))
    assert surgt.baseline == pytest.approx(4.1435e-3, abs=1e-7)
    one = read_calibration(shared_data / 'calib/endovis18/seq_1.txt')
    nine = read_calibration(shared_data / 'calib/endovis18/seq_9.txt')
    assert one.baseline == pytest.approx(4.3502e-3, abs=1e-7)
    assert nine.baseline == pytest.approx(4.3591e-3, abs=1e-7)
    for calibration in (surgt, one, nine):
        assert calibration_warnings(calibration) == []
        assert calibration.principal_offset == 0


def test_the_two_doubtful_files_are_said(shared_data):
    folder = shared_data / 'calib/dvrk'
    sd = read_calibration(
        folder / 'calib_sd_720x576_left.yaml', folder / 'calib_sd_720x576_right.yaml'
    )
    said = calibration_warnings(sd)
    assert len(said) == 2 and all('vertical residual' in line for line in said)
    assert '9.1 degrees' in said[0] and '9.0 degrees' in said[1]
    left, right = (folder / f'vu-arma_stereo_cam{n}_calibration_640x480.yaml' for n in (0, 1))
    [said] = calibration_warnings(read_calibration(left, right))
    assert '62 mm' in said
    assert 'swapped' in ' '.join(calibration_warnings(read_calibration(right, left)))
