"""Good files of every kind that is read, made by our own code: what the mutations begin from."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from fake_frames import fake_calibration, fake_frames
from rosbags.rosbag1 import Writer as Writer1
from rosbags.typesys import Stores, get_typestore
from safetensors.torch import save_file

from surgseg_ros import networks
from surgseg_ros.bags import BagWriter
from surgseg_ros.bags.stereo_bag import write_frame
from surgseg_ros.geometry.calibration_files import write_camera_info
from surgseg_ros.media.share import share
from surgseg_ros.media.video import VideoFile
from surgseg_ros.metrics.instances import coco_truth, records
from surgseg_ros.networks.card import Card

IMAGE, INFO = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
RNG = np.random.default_rng(3)
PICTURE = RNG.integers(0, 256, (24, 32, 3), np.uint8)
LABELS = (PICTURE[..., 0] > 99).astype(np.uint8)


def _tensors() -> dict[str, torch.Tensor]:
    """A whole network (LWANet of 2 classes has 2 million numbers), and a handful of tensors."""
    torch.manual_seed(0)
    return networks.create('fassst_small', num_classes=1).state_dict()


def checkpoints(folder: Path) -> Iterator[Path]:
    few = {'a.weight': torch.ones(2, 3), 'a.bias': torch.zeros(2, dtype=torch.float16)}
    content = {'state_dict': few, 'epoch': 3, 'best': np.float64(0.5), 'args': {'lr': [0.1, None]}}
    for name, legacy in (('zip', False), ('legacy', True)):
        torch.save(content, folder / f'{name}.pth', _use_new_zipfile_serialization=not legacy)
        yield folder / f'{name}.pth'
    torch.save({'model': _tensors()}, folder / 'whole.pth')
    yield folder / 'whole.pth'


def safetensors(folder: Path) -> Iterator[Path]:
    card = Card('lwanet', {'num_classes': 2}, ('background', 'tool'), {'input_size': [64, 64]})
    save_file({'a': torch.ones(2, 3)}, folder / 'few.safetensors', card.metadata())
    yield folder / 'few.safetensors'
    save_file(_tensors(), folder / 'whole.safetensors')
    yield folder / 'whole.safetensors'


def _bag(path: Path, **options: bool) -> Path:
    with BagWriter(path, **options) as writer:
        for frame in fake_frames(3, 32, 24):
            write_frame(writer, frame)
    return path


def mcap(folder: Path) -> Iterator[Path]:
    yield _bag(folder / 'plain.mcap', compress=False)
    yield _bag(folder / 'compressed.mcap')


def sqlite(folder: Path) -> Iterator[Path]:
    path = _bag(folder / 'small.db3')
    with sqlite3.connect(path) as database:  # pictures of noise are most of it
        database.execute('DELETE FROM messages WHERE id > 12')
    database.execute('VACUUM')
    database.close()
    yield path


def bag_folders(folder: Path) -> Iterator[Path]:
    """Its metadata.yaml is what is mutated, beside a bag that stays as it is."""
    yield _bag(folder / 'bag', compress=False) / 'metadata.yaml'


def ros1(folder: Path) -> Iterator[Path]:
    store = get_typestore(Stores.ROS1_NOETIC)
    types, cameras = store.types, fake_calibration(32, 24)
    for compression in (None, Writer1.CompressionFormat.BZ2):
        path = folder / ('plain.bag' if compression is None else 'compressed.bag')
        writer = Writer1(path)
        if compression:
            writer.set_compression(compression)
        with writer:
            topics = [(f'/{s}/{n}', k) for s in ('left', 'right')
                      for n, k in (('image_rect', IMAGE), ('camera_info', INFO))]  # fmt: skip
            made = {t: writer.add_connection(t, k, typestore=store) for t, k in topics}
            for second in (1, 2):
                time = types['builtin_interfaces/msg/Time'](second, 0)
                header = types['std_msgs/msg/Header'](second, time, 'left')
                region = types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
                infos = {side: types[INFO](
                    header, 24, 32, 'plumb_bob', one.D, one.K.ravel(), one.R.ravel(),
                    one.P.ravel(), 0, 0, region
                ) for side, one in (('left', cameras.left), ('right', cameras.right))}  # fmt: skip
                image = types[IMAGE](header, 24, 32, 'rgb8', 0, 96, PICTURE.ravel())
                for topic, kind in topics:
                    message = image if kind == IMAGE else infos[topic.split('/')[1]]
                    data = store.serialize_ros1(message, kind)
                    writer.write(made[topic], second * 10**9, data)
        yield path


OPENCV = """%YAML:1.0
---
imageSize: [320, 256]
K1: !!opencv-matrix
   {rows: 3, cols: 3, dt: d, data: [300., 0., 160., 0., 300., 128., 0., 0., 1.]}
D1: &d !!opencv-matrix {rows: 1, cols: 5, dt: d, data: [0.01, 0., 0., 0., 0.]}
K2: !!opencv-matrix
   {rows: 3, cols: 3, dt: d, data: [300., 0., 160., 0., 300., 128., 0., 0., 1.]}
D2: *d
R: !!opencv-matrix {rows: 3, cols: 3, dt: d, data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]}
T: !!opencv-matrix {rows: 3, cols: 1, dt: d, data: [-4.3, 0., 0.]}
"""
KALIBR = """cam0: {camera_model: pinhole, intrinsics: [300, 300, 160, 128], resolution: [320, 256],
  distortion_model: radtan, distortion_coeffs: [0.1, 0, 0, 0]}
cam1: {camera_model: pinhole, intrinsics: [300, 300, 160, 128], resolution: [320, 256],
  T_cn_cnm1: [[1, 0, 0, -0.0043], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}
"""
ENDOVIS = """Width: 320 // px
Height: 256
Camera-0-F: 300 300
Camera-0-C: 160 128
Camera-0-K: 0.1 0 0 0
Camera-1-F: 300 300
Camera-1-C: 160 128
Camera-1-K: 0.1 0 0 0
Extrinsic-Omega: 0.001 0 0
Extrinsic-T: -4.3 0 0
"""
SCARED = {
    'camera-calibration': {
        'KL': [[300, 0, 160], [0, 300, 128], [0, 0, 1]], 'DL': [[0.1, 0, 0, 0, 0]],
        'KR': [[300, 0, 160], [0, 300, 128], [0, 0, 1]], 'DR': [[0.1, 0, 0, 0, 0]],
        'R': [[1, 0, 0], [0, 1, 0], [0, 0, 1]], 'T': [[-4.3], [0], [0]],
    }
}  # fmt: skip


def calibrations(folder: Path) -> Iterator[Path]:
    write_camera_info(fake_calibration(320, 256), folder)
    yield folder / 'left.yaml'
    texts = {'opencv.yml': OPENCV, 'camchain.yml': KALIBR, 'endovis.txt': ENDOVIS}
    xml = '<?xml version="1.0"?><opencv_storage><K1 type_id="opencv-matrix"><rows>3</rows>'
    texts['opencv.xml'] = xml + '<data>1 0 0 0 1 0 0 0 1</data></K1></opencv_storage>'
    texts['scared.json'] = json.dumps(SCARED)
    for name, text in texts.items():
        (folder / name).write_text(text)
        yield folder / name


def recipes(folder: Path) -> Iterator[Path]:
    for recipe in sorted((share() / 'config' / 'train').glob('*.yaml'))[:3]:
        (folder / recipe.name).write_bytes(recipe.read_bytes())
        yield folder / recipe.name


def coco(folder: Path) -> Iterator[Path]:
    """Polygons, both kinds of run lengths, and a crowd."""
    cv2.imwrite(str(folder / '1.png'), PICTURE)
    found = records(1, np.array([1]), LABELS[None] > 0)
    truth = coco_truth([(24, 32)], found, ('background', 'tool'))
    truth['images'][0]['file_name'] = '1.png'
    plain = {'image_id': 1, 'category_id': 1, 'bbox': [1, 1, 9, 9], 'area': 64}
    truth['annotations'] += [
        {'id': 2, **plain, 'iscrowd': 0, 'segmentation': [[1, 1, 9, 1, 9, 9]]},
        {'id': 3, **plain, 'iscrowd': 1,
         'segmentation': {'size': [24, 32], 'counts': [100, 100, 568]}},
    ]  # fmt: skip
    (folder / 'truth.json').write_text(json.dumps(truth))
    yield folder / 'truth.json'


def jsons(folder: Path) -> Iterator[Path]:
    pair = {'pose': np.eye(4).tolist(), 'point': [0.01, 0.02, 0.1]}
    (folder / 'pairs.json').write_text(json.dumps({'pairs': [pair, pair]}))
    joint = {'name': 'yaw', 'type': 'revolute', 'alpha': 1.57, 'A': 0, 'theta': 0, 'D': 0,
             'offset': 1.57, 'qmin': -1, 'qmax': 1}  # fmt: skip
    dh = {'DH': {'convention': 'modified', 'joints': [joint, joint]}}
    (folder / 'arm.json').write_text('// an arm\n' + json.dumps(dh))
    yield from (folder / 'pairs.json', folder / 'arm.json')


def classes(folder: Path) -> Iterator[Path]:
    for name in ('images', 'labels'):
        (folder / name).mkdir()
        cv2.imwrite(str(folder / name / '1.png'), PICTURE if name == 'images' else LABELS)
    (folder / 'classes.json').write_text(json.dumps({'background': [0, 0, 0], 'tool': [1, 1, 1]}))
    yield folder / 'classes.json'


def pictures(*names: str) -> Callable[[Path], Iterator[Path]]:
    made = {'ids': LABELS, '16': LABELS.astype(np.uint16) * 9000, 'float': LABELS * np.float32(3)}

    def write(folder: Path) -> Iterator[Path]:
        for name in names:
            cv2.imwrite(str(folder / name), made.get(Path(name).stem, PICTURE))
            yield folder / name

    return write


def arrays(folder: Path) -> Iterator[Path]:
    np.save(folder / 'disparity.npy', LABELS * np.float32(7))
    yield folder / 'disparity.npy'


def videos(folder: Path) -> Iterator[Path]:
    for suffix in ('mp4', 'avi', 'mkv', 'webm'):
        with VideoFile(folder / f'clip.{suffix}', 25) as video:
            for index in range(4):
                video.write(np.roll(PICTURE.repeat(2, 0).repeat(2, 1), index, 1))
        yield folder / f'clip.{suffix}'


def lists(folder: Path) -> Iterator[Path]:
    for side in ('left', 'right'):
        cv2.imwrite(str(folder / f'{side}.png'), PICTURE)
    rows = [f'left.png,right.png,disparity/{index}.png' for index in range(3)]
    (folder / 'list.csv').write_text('\n'.join(['left,right,disparity', *rows]) + '\n')
    yield folder / 'list.csv'


SEEDS: dict[str, Callable[[Path], Iterator[Path]]] = {
    'checkpoint': checkpoints,
    'safetensors': safetensors,
    'mcap': mcap,
    'sqlite3': sqlite,
    'bag folder': bag_folders,
    'ros1': ros1,
    'calibration': calibrations,
    'recipe': recipes,
    'coco': coco,
    'json': jsons,
    'classes': classes,
    'png': pictures('colour.png', 'ids.png', '16.png'),
    'jpeg': pictures('colour.jpg'),
    'tiff': pictures('colour.tiff', 'float.tiff', 'colour.bmp', 'colour.webp', 'colour.ppm'),
    'npy': arrays,
    'video': videos,
    'csv': lists,
}
