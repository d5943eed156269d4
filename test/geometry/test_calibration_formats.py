"""One pair of cameras in every format gives one calibration; what means another is refused."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from synthetic_stereo import extrinsics, raw_calibration

from surgseg_ros.geometry.calibration_checks import calibration_errors, calibration_warnings
from surgseg_ros.geometry.calibration_files import read_calibration, write_camera_info

SIZE = 640, 512
EXPECTED = raw_calibration(*SIZE)
R, T = extrinsics(EXPECTED)
LEFT, RIGHT = EXPECTED.left, EXPECTED.right


def opencv(path: Path, **values) -> Path:
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in values.items():
        storage.write(key, value)
    storage.release()
    return path


INTRINSICS = {'M1': LEFT.K, 'D1': LEFT.D, 'M2': RIGHT.K, 'D2': RIGHT.D}
EXTRINSICS = {'R': R, 'T': 1000 * T}


def one_file(folder: Path, suffix: str) -> Path:
    return opencv(folder / f'stereo{suffix}', **INTRINSICS, **EXTRINSICS)


def two_files(folder: Path, suffix: str) -> Path:
    """As OpenCV's sample stereo_calib writes them, into a folder."""
    opencv(folder / f'intrinsics{suffix}', **INTRINSICS)
    projections = {'R1': LEFT.R, 'R2': RIGHT.R, 'P1': LEFT.P, 'P2': RIGHT.P.copy()}
    projections['P2'][:, 3] *= 1000
    opencv(folder / f'extrinsics{suffix}', **EXTRINSICS, **projections)
    return folder


def kalibr(folder: Path, model: str = 'radtan', turned: bool = False) -> Path:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R, -T if turned else T
    cameras = {}
    for number, camera in enumerate((LEFT, RIGHT)):
        cameras[f'cam{number}'] = {
            'camera_model': 'pinhole',
            'intrinsics': camera.K[[0, 1, 0, 1], [0, 1, 2, 2]].tolist(),
            'distortion_model': model,
            'distortion_coeffs': camera.D[:4].tolist(),
            'resolution': list(SIZE),
            'rostopic': f'/cam{number}/image_raw',
        }
    cameras['cam1']['T_cn_cnm1'] = pose.tolist()
    path = folder / 'camchain.yaml'
    path.write_text(yaml.safe_dump(cameras))
    return path


def scared(folder: Path) -> Path:
    cameras = {'KL': LEFT.K, 'DL': LEFT.D[None], 'KR': RIGHT.K, 'DR': RIGHT.D[None]}
    cameras |= {'R': R, 'T': 1000 * T[:, None]}
    content = {
        'camera-pose': np.eye(4).tolist(),
        'camera-calibration': {key: value.tolist() for key, value in cameras.items()},
    }
    (folder / 'frame_data000000.json').write_text(json.dumps(content))
    return folder / 'frame_data000000.json'


def ucl(folder: Path, direction: str, prefix: str) -> Path:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R, 1000 * T
    if direction == 'r2l':
        pose = np.linalg.inv(pose)
    for side, camera in (('left', LEFT), ('right', RIGHT)):
        np.savetxt(folder / f'{prefix}.{side}.intrinsics.txt', camera.K)
        np.savetxt(folder / f'{prefix}.{side}.distortion.txt', camera.D[None])
    np.savetxt(folder / f'{prefix}.{direction}.txt', pose)
    return folder


@pytest.mark.parametrize(
    'write',
    [
        lambda folder: one_file(folder, '.yml'),
        lambda folder: one_file(folder, '.xml'),
        lambda folder: one_file(folder, '.json'),
        lambda folder: two_files(folder, '.yml'),
        lambda folder: two_files(folder, '.xml'),
        kalibr,
        scared,
        lambda folder: ucl(folder, 'l2r', 'calib'),
        lambda folder: ucl(folder, 'r2l', 'hd'),
    ],
    ids=['yml', 'xml', 'json', 'two_yml', 'two_xml', 'kalibr', 'scared', 'ucl_l2r', 'ucl_r2l'],
)
def test_every_format_gives_the_same(tmp_path: Path, write) -> None:
    read = read_calibration(write(tmp_path), size=SIZE)
    for camera, expected in ((read.left, LEFT), (read.right, RIGHT)):
        assert (camera.width, camera.height, camera.distortion) == (*SIZE, 'plumb_bob')
        np.testing.assert_allclose(camera.D[:4], expected.D[:4], atol=1e-12)
        for name in 'KRP':
            np.testing.assert_allclose(
                getattr(camera, name), getattr(expected, name), rtol=1e-5, atol=1e-6, err_msg=name
            )
    assert calibration_warnings(read) == []


def test_two_files_are_given_in_a_word(tmp_path: Path) -> None:
    folder = two_files(tmp_path, '.yml')
    read = read_calibration(folder / 'intrinsics.yml', folder / 'extrinsics.yml', SIZE)
    np.testing.assert_allclose(read.right.P, RIGHT.P, rtol=1e-9)
    with pytest.raises(ValueError, match='intrinsics.yml has no R: expected OpenCV'):
        read_calibration(folder / 'intrinsics.yml', size=SIZE)


# Fisheye.


def test_fisheye_is_never_read_as_another_lens(tmp_path: Path) -> None:
    read = read_calibration(kalibr(tmp_path, 'equidistant'))
    assert read.left.distortion == read.right.distortion == 'equidistant'
    np.testing.assert_allclose(read.right.R, RIGHT.R, atol=1e-6)  # the lens turns nothing
    values = {**INTRINSICS, **EXTRINSICS, 'D1': LEFT.D[:4], 'D2': RIGHT.D[:4]}
    path = opencv(tmp_path / 'stereo.yml', **values, camera_model='fisheye')
    assert read_calibration(path, size=SIZE).left.distortion == 'equidistant'
    with pytest.raises(ValueError, match='D of the left fisheye camera has 5 numbers, expected 4'):
        read_calibration(
            opencv(tmp_path / 'five.yml', **INTRINSICS, **EXTRINSICS, camera_model='fisheye'),
            size=SIZE,
        )


@pytest.mark.parametrize('key', ['camera_model', 'distortion_model'])
@pytest.mark.parametrize('name', ['fisheye', 'equidistant', 'Kannala_Brandt4'])
def test_fisheye_camera_info(tmp_path: Path, key: str, name: str) -> None:
    for path in write_camera_info(EXPECTED, tmp_path):
        content = yaml.safe_load(path.read_text())
        content['distortion_coefficients'] = {'rows': 1, 'cols': 4, 'data': [0.1, 0, 0, 0]}
        path.write_text(yaml.safe_dump({**content, key: name}))
    assert read_calibration(tmp_path).left.distortion == 'equidistant'


# What is refused.


def test_other_lenses_of_kalibr_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='camera model pinhole with distortion fov: expected'):
        read_calibration(kalibr(tmp_path, 'fov'))
    swapped = read_calibration(kalibr(tmp_path, turned=True))
    assert 'the eyes are swapped' in calibration_errors(swapped)[0]


@pytest.mark.parametrize('factor', [0.25, 0.5, 2.0, 4.0])
@pytest.mark.parametrize('stated', [False, True])
def test_calibration_of_another_size(tmp_path: Path, factor: float, stated: bool) -> None:
    scale = np.diag([factor, factor, 1.0])
    values = {**INTRINSICS, 'M1': scale @ LEFT.K, 'M2': scale @ RIGHT.K, **EXTRINSICS}
    if stated:
        values |= {'image_width': round(factor * 640), 'image_height': round(factor * 512)}
    path = opencv(tmp_path / 'stereo.yml', **values)
    said = 'is for images of size' if stated else 'K belongs to images of another size'
    with pytest.raises(ValueError, match=said):
        read_calibration(path, size=SIZE)


def test_transposed_matrices_of_matlab(tmp_path: Path) -> None:
    path = opencv(tmp_path / 's.yml', **{**INTRINSICS, 'M2': RIGHT.K.T.copy(), **EXTRINSICS})
    with pytest.raises(ValueError, match='last row of K of the right camera is 340 251 1.*MATLAB'):
        read_calibration(path, size=SIZE)
    for name, text in (('s.mat', 'MATLAB 5.0 MAT-file'), ('s.json', '{"CameraParameters1": {}}')):
        (tmp_path / name).write_text(text)
        with pytest.raises(
            ValueError, match=f"{name} is MATLAB's, whose stereoParameters are not"
        ):
            read_calibration(tmp_path / name, size=SIZE)


@pytest.mark.parametrize('part', [{'binning_x': 2}, {'roi': {'x_offset': 160, 'width': 320}}])
def test_parts_of_the_sensor_are_named(tmp_path: Path, part: dict) -> None:
    for path in write_camera_info(EXPECTED, tmp_path):
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **part}))
    with pytest.raises(ValueError, match=r'a binned image or a region of interest \(binning, roi'):
        read_calibration(tmp_path)


@pytest.mark.parametrize(
    ('name', 'text', 'said'),
    [
        (
            'a.xml',
            '<!DOCTYPE x [<!ENTITY a "b">]><opencv_storage>&a;</opencv_storage>',
            'entities',
        ),
        ('a.xml', '<opencv_storage><M1 type_id="opencv-matrix"></opencv_storage>', 'valid XML'),
        ('a.json', '{"camera-calibration": {"KL": "x"}}', "not SCARED's frame data"),
        ('a.json', '{"K1": ' + '[' * 100_000, 'nested too deeply'),
        ('a.yaml', 'cam0: {camera_model: pinhole}', 'has the cameras cam0: expected cam0'),
        ('a.yaml', 'cam0: {}\ncam1: {}\n', "not Kalibr's camchain"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        read_calibration(tmp_path / name, size=SIZE)
    assert '\n' not in str(error.value)


# Real calibrations.


def test_every_real_calibration(shared_data: Path) -> None:
    """As their SOURCE.txt say: three baselines in mm, one that is none of an endoscope's."""
    dvrk = shared_data / 'calib/dvrk'
    ucl_folder = shared_data / 'calib_points_ucl'
    cases = [
        (shared_data / 'calib/endovis18/seq_1.txt', None, (1280, 1024), 4.35),
        (shared_data / 'calib/endovis18/seq_9.txt', None, (1280, 1024), 4.36),
        (dvrk / 'calib_sd_720x576_left.yaml', dvrk / 'calib_sd_720x576_right.yaml', None, 4.80),
        (ucl_folder, None, (1920, 1080), 4.82),
        (shared_data / 'stereo_surgt/calibration.yaml', None, (1280, 1024), 4.14),
    ]
    for path, right, size, millimetres in cases:
        read = read_calibration(path, right, size)
        assert calibration_errors(read) == []
        assert 1000 * read.baseline == pytest.approx(millimetres, abs=0.01)
    names = [dvrk / f'vu-arma_stereo_cam{n}_calibration_640x480.yaml' for n in (0, 1)]
    assert 'the baseline is 62 mm' in calibration_warnings(read_calibration(*names))[0]


def test_every_file_beside_real_calibrations(shared_data: Path) -> None:
    """One camera_info asks for the other eye's; all that is no calibration is refused by name."""
    whole = {'seq_1.txt', 'seq_9.txt'}
    files = [path for path in shared_data.glob('calib*/**/*') if path.is_file()]
    assert len(files) > 20
    for path in files:
        if path.name in whole:
            assert calibration_errors(read_calibration(path)) == []
            continue
        with pytest.raises(ValueError) as refusal:
            read_calibration(path, size=(1280, 1024))
        said = str(refusal.value)
        one_eye = path.suffix == '.yaml'
        words = 'give that of the right too' if one_eye else 'is not a stereo calibration'
        assert str(path) in said and words in said and '\n' not in said
