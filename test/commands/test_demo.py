"""`surgseg demo` and `surgseg bench` as their users start them: processes, files, sentences."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from surgseg_ros.bags import BagReader
from surgseg_ros.media import locks
from surgseg_ros.processes import domains
from surgseg_ros.processes.domains import own_domain, reserve_domain
from surgseg_ros.rosdata.messages import stamp_of

FRAMES = 6
SMALL = 'source:=sim:width=320,height=256'


def begin(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', 'surgseg_ros.cli', *words],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def end(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == 0, printed
    return printed


@pytest.fixture(scope='module')
def demos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of two demos that ran at the same time, of different operations."""
    folders = [tmp_path_factory.mktemp(f'demo{seed}') for seed in (1, 2)]
    started = [
        begin('demo', '--frames', str(FRAMES), '--out', str(folder), f'{SMALL},seed={seed}')
        for seed, folder in enumerate(folders, 1)
    ]
    reserved = {end(process).partition('ROS_DOMAIN_ID=')[2].split()[0] for process in started}
    assert len(reserved) == 2
    return folders


def counts(folder: Path) -> dict[str, int]:
    """What the stereo node of a demo counted."""
    counted = json.loads((folder / 'summary.json').read_text())['stereo_node']
    return {
        name: int(counted[name])
        for name in ('left received', 'right received', 'paired', 'out', 'dropped', 'rejected')
    }


def test_a_demo_leaves_a_bag_a_video_a_cloud_and_a_summary(demos: list[Path]) -> None:
    folder = demos[0]
    with BagReader(folder / 'demo.mcap') as bag:
        stamps = {
            topic: [stamp_of(m.message) for m in bag.messages([f'/endoscope/{topic}'])]
            for topic in (
                'left/image_rect',
                'right/image_rect',
                'ground_truth/disparity',
                'disparity',
                'points2',
            )
        }
    drawn, sent = stamps['disparity'], stamps['left/image_rect']
    assert stamps['right/image_rect'] == stamps['ground_truth/disparity'] == sent
    assert len(sent) == FRAMES
    # two demos at once may drop a frame on a slow machine, but what came out is counted and whole
    assert len(drawn) == counts(folder)['out'] > 0
    assert stamps['points2'] == drawn and set(drawn) <= set(sent)
    video = cv2.VideoCapture(str(folder / 'demo.mp4'))
    assert sum(video.read()[0] for _ in range(2 * FRAMES)) == len(drawn)
    assert cv2.imread(str(folder / 'demo.png')).shape == (512, 640, 3)
    header = (folder / 'cloud.ply').read_bytes()[:200].decode(errors='replace').splitlines()
    assert header[0] == 'ply'
    assert int(next(line for line in header if 'element vertex' in line).split()[-1]) > 50_000


def test_the_summary_counts_every_frame_and_the_accuracy_is_as_good_as_sgbm_is(
    demos: list[Path],
) -> None:
    for folder in demos:
        count = counts(folder)
        assert count['left received'] == count['right received'] == FRAMES, count
        assert count['paired'] == count['out'] + count['dropped'] + count['rejected'], count
        visible = json.loads((folder / 'summary.json').read_text())['accuracy']['visible']
        assert visible['epe'] < 1.5
        assert visible['pixels'] > 0.9 * count['out'] * 320 * 256


def test_two_demos_at_once_do_not_mix(demos: list[Path]) -> None:
    """Each bag has the pictures of one operation; both have the same stamps."""
    pictures = []
    for folder in demos:
        with BagReader(folder / 'demo.mcap') as bag:
            pictures.append(
                [bytes(item.message.data) for item in bag.messages(['/endoscope/left/image_rect'])]
            )
    assert [len(set(found)) for found in pictures] == [FRAMES, FRAMES]
    assert not set(pictures[0]) & set(pictures[1])


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['source:=camera'], 'the demo plays a source'),
        (['namespace:=foo'], 'needs no namespace'),
        (['--frames', '0'], '0 frames'),
        (['source:=/nowhere.mcap'], 'there is no bag at /nowhere.mcap'),
        (['scale:=99'], 'stereo ended with 1'),
    ],
)
def test_what_a_demo_cannot_do_is_one_sentence(
    words: list[str], sentence: str, tmp_path: Path
) -> None:
    process = begin('demo', '--out', str(tmp_path), *words)
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == 2, printed
    assert sentence in printed
    assert printed.count('surgseg demo: ') == 1
    assert 'Traceback' not in printed


def test_domains_are_reserved_until_they_are_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(locks, 'private_folder', lambda: tmp_path)
    monkeypatch.setattr(domains, 'DOMAINS', range(40, 42))
    monkeypatch.setattr(domains, '_is_silent', lambda domain: True)
    with reserve_domain() as first, reserve_domain() as second:
        assert (first, second) == (40, 41)
        with pytest.raises(OSError, match='40 to 41 are reserved'), reserve_domain():
            pass
    with reserve_domain() as again:
        assert again == first


def test_a_domain_in_which_somebody_is_is_passed_over() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as somebody, reserve_domain() as taken:
        somebody.bind(('', 7400 + 250 * taken + 10))  # as a participant of another user does
        assert not domains._is_silent(taken)


def test_an_own_domain_leaves_the_users_environment_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', '7')
    before = dict(os.environ)
    with own_domain() as domain:
        assert os.environ['ROS_DOMAIN_ID'] == str(domain) != '7'
        assert os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert dict(os.environ) == before


def test_the_benchmark_of_transport_prints_a_row_per_setting() -> None:
    printed = end(begin('bench', 'transport', '--rounds', '1', '--frames', '10'))
    rows = [line for line in printed.splitlines() if line.endswith('of 10')]
    assert [row.split(',')[0] for row in rows] == 2 * ['as it is'] + 2 * ['our profile']
    assert rows[2].endswith('10 of 10'), printed  # reliable, through shared memory


def test_the_benchmark_of_a_node_counts_every_frame() -> None:
    printed = end(begin('bench', 'node', '--size', '320x256', '--seconds', '2'))
    row = next(line.split() for line in printed.splitlines() if line.startswith('sgbm'))
    paired, out, dropped, rejected = map(int, row[-4:])
    assert out > 0
    assert paired == out + dropped + rejected


def test_the_benchmark_of_a_model_that_cannot_be_loaded_ends(tmp_path: Path) -> None:
    pytest.importorskip('torch', reason='networks need torch')
    process = begin(
        'bench',
        'node',
        '--model',
        'msdesis_light',
        '--size',
        '320x256',
        '--weights',
        str(tmp_path / 'none.pt'),
    )
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == 2, printed
    assert 'none.pt' in printed.splitlines()[-1]
    assert 'Traceback' not in printed


def test_waiting_ends_after_a_while_and_ros_does_not_read_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('rclpy')
    from surgseg_ros.live.graph import LiveGraph

    monkeypatch.setattr(sys, 'argv', ['surgseg', 'demo', 'namespace:=foo'])
    with LiveGraph() as graph:
        with pytest.raises(ValueError, match='endoscope/stereo did not start within 0.2 s'):
            graph.await_active('stereo', timeout=0.2)
        with pytest.raises(ValueError, match='nothing came within 0.2 s'):
            graph.wait(lambda: False, 'nothing came', timeout=0.2)
    assert 'remap rule' not in capfd.readouterr().err
