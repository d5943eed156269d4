"""Videos as recorders write them, and as browsers play them."""

import resource
import signal
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from surgseg_ros.media.video import VideoFile
from surgseg_ros.media.video_reader import VideoReader

REPOSITORY = Path(__file__).resolve().parents[2]


def picture(index: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Red left, blue right, a white bar that moves 4 px per frame."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, : width // 2] = (180, 40, 40)
    rgb[:, width // 2 :] = (40, 40, 180)
    rgb[height // 4 : height // 2, 4 * index % width : 4 * index % width + 16] = 230
    return rgb


def write(
    path: Path,
    pictures: list[np.ndarray],
    times: list[float] | None = None,
    encoder: str = 'libx264',
    pixels: str = 'yuv420p',
    **options: str,
) -> Path:
    """Encode with other settings than VideoFile's; times: s."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(encoder, rate=25, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, rgb in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(rgb, format='rgb24')
            frame.pts = round(1000 * (times[index] if times else index / 25))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def weave(count: int) -> list[np.ndarray]:
    """Frames with the rows of two moments, the lower field first."""
    woven = []
    for index in range(count):
        rgb = picture(4 * index + 2).copy()
        rgb[1::2] = picture(4 * index)[1::2]
        woven.append(rgb)
    return woven


INTERLACED = {'flags': '+ildct+ilme', 'x264-params': 'bff=1'}


# Reading.


def test_times_and_pictures(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.08, 0.5, 1.5, 1.6]
    path = write(tmp_path / 'v.mkv', [picture(i) for i in range(6)], times)
    notes: list[str] = []
    for _ in range(2):
        read = list(VideoReader(path, notes.append))
        assert [round(one.time / 1e6) for one in read] == [0, 40, 80, 500, 1500, 1600]
        assert all(error(one.rgb, picture(i)) < 6 for i, one in enumerate(read))
    assert notes == []


def test_interlaced_frames_become_pictures(tmp_path: Path) -> None:
    """Each frame has the rows of two moments, the lower field first; that is what comes out."""
    woven = weave(8)
    notes: list[str] = []
    read = list(VideoReader(write(tmp_path / 'i.mp4', woven, **INTERLACED), notes.append))
    assert len(read) == 8 and 'is interlaced' in notes[0] and len(notes) == 1
    for index, one in enumerate(read):
        second = np.s_[26:46:2, 16 * index % 128 + 16 : 16 * index % 128 + 24]  # the bar's, later
        if woven[index][second].size:  # else the bar has left the picture
            assert error(woven[index][second], picture(4 * index)[second]) > 100
            assert error(one.rgb[second], picture(4 * index)[second]) < 60


# the second half of the AVI is its index
@pytest.mark.parametrize(('name', 'kept'), [('v.mkv', 0.5), ('v.avi', 0.3)])
def test_an_early_end_is_told_by_the_duration(tmp_path: Path, name: str, kept: float) -> None:
    """Where the header counts no frames, or empty moments, too; the last may be shown for long."""
    encoder = 'mpeg4' if name == 'v.avi' else 'libx264'
    times = [index / 25 for index in range(40)] + [1.6 + index / 2 for index in range(3)]
    path = write(tmp_path / name, [picture(i) for i in range(43)], times, encoder, g='1')
    notes: list[str] = []
    assert len(list(VideoReader(path, notes.append))) == 43 and notes == []
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    read = list(VideoReader(path, notes.append))
    assert 5 < len(read) < 40
    assert len(notes) == 1 and f'{path} ended after ' in notes[0]


def looped(path: Path, source: Path, rounds: int) -> Path:
    """The packets of a video again and again, each round later than the last."""
    with av.open(str(source)) as read, av.open(str(path), 'w') as container:
        stream = read.streams.video[0]
        out = container.add_stream_from_template(stream)
        packets = [packet for packet in read.demux(stream) if packet.dts is not None]
        contents = [(bytes(p), p.pts, p.dts, p.duration, p.is_keyframe) for p in packets]
        length = sum(p.duration for p in packets)
        for number in range(rounds):
            for content, pts, dts, duration, is_keyframe in contents:
                packet = av.Packet(content)
                packet.pts, packet.dts = pts + number * length, dts + number * length
                packet.duration, packet.is_keyframe = duration, is_keyframe
                packet.time_base, packet.stream = stream.time_base, out
                container.mux(packet)
    return path


@pytest.mark.long
def test_an_hour_of_interlaced_video_needs_constant_memory(tmp_path: Path) -> None:
    """90,000 frames at 25 Hz: as much memory is used after an hour as after a minute."""
    minute = 60 * 25
    short = write(tmp_path / 'short.mp4', weave(25), **INTERLACED)
    notes: list[str] = []
    reader = VideoReader(looped(tmp_path / 'hour.mp4', short, 3600), notes.append)
    used = []
    for count, one in enumerate(reader, 1):
        if count % (10 * minute) == 0 or count == minute:
            used.append(psutil.Process().memory_info().rss)
            assert abs(one.time / 1e9 - count / 25) < 0.1
            print(f'{count} frames, {used[-1] / 2**20:.0f} MiB')
    assert count == 60 * minute and 'is interlaced' in notes[0]
    assert max(used) - used[0] < 10 * 2**20


@pytest.mark.parametrize('degrees', [90, 180, 270])
def test_pictures_are_turned_as_the_file_says(tmp_path: Path, degrees: int) -> None:
    path = write(tmp_path / 'v.mp4', [picture(i) for i in range(3)])
    turn_header(path, degrees)
    reader = VideoReader(path)
    shown = np.rot90(picture(2), -degrees // 90)  # the matrix turns clockwise
    assert (reader.height, reader.width) == shown.shape[:2]
    assert error(list(reader)[2].rgb, shown) < 6


def turn_header(path: Path, degrees: int) -> None:
    """Write a display matrix into the track header of an mp4 (ISO 14496-12, 8.3.2)."""
    a, b = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    raw = bytearray(path.read_bytes())
    at = raw.index(b'tkhd') + 4 + 4 + 20 + 16
    matrix = (a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30)
    raw[at : at + 36] = struct.pack('>9i', *matrix)
    path.write_bytes(raw)


def test_an_early_end_is_said(tmp_path: Path) -> None:
    path = tmp_path / 'v.mp4'
    with VideoFile(path, 25) as video:  # its header comes first, as in a copy that broke off
        for index in range(30):
            noise = np.random.default_rng(index).integers(0, 255, (96, 128, 3), np.uint8)
            video.write(noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    notes: list[str] = []
    count = len(list(VideoReader(path, notes.append)))
    assert 5 < count < 30
    assert notes == [f'{path} ended after {count} of 30 frames: the file is cut off or damaged']


def test_what_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='there is no video'):
        VideoReader(tmp_path / 'v.mp4')
    other = write(tmp_path / 'secret.mp4', [picture(0)])
    lists = (
        f'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n',
        f"ffconcat version 1.0\nfile '{other}'\n",
        '#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/v.ts\n#EXT-X-ENDLIST\n',
        'nothing',
    )
    for text in lists:  # of other files and addresses: none is opened
        (tmp_path / 'v.mp4').write_text(text)
        with pytest.raises(ValueError, match='v.mp4 is not a video that can be read'):
            VideoReader(tmp_path / 'v.mp4')


def test_huge_pictures_are_refused_unseen(tmp_path: Path) -> None:
    path = write(tmp_path / 'v.avi', [picture(0)] * 3, encoder='mjpeg', pixels='yuvj420p')
    size, huge = struct.pack('>HH', 96, 128), struct.pack('>HH', 16_000, 16_000)
    raw = path.read_bytes()
    assert raw.count(b'\x08' + size + b'\x03') == 3  # JPEG's SOF0
    path.write_bytes(raw.replace(b'\x08' + size + b'\x03', b'\x08' + huge + b'\x03'))
    with pytest.raises(ValueError, match='v.avi is 16000x16000, 256 million pixels|no picture'):
        VideoReader(path)


def test_a_header_may_lie_about_the_number_of_frames(tmp_path: Path) -> None:
    path = write(tmp_path / 'v.avi', [picture(i) for i in range(3)], encoder='mpeg4')
    raw = bytearray(path.read_bytes())
    at = raw.index(b'vids') + 32  # AVISTREAMHEADER.dwLength
    raw[at : at + 4] = struct.pack('<I', 2**31 - 1)
    path.write_bytes(raw)
    assert len(list(VideoReader(path))) == 3


# Writing.


@pytest.mark.parametrize('suffix', ['.mp4', '.avi', '.mkv', '.webm'])
def test_written_videos(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f'v{suffix}'
    with VideoFile(path, 12.5) as video:
        for index in range(10):
            video.write(picture(index, 97, 131))
    reader = VideoReader(path)
    read = list(reader)
    assert (reader.width, reader.height, len(read)) == (132, 98, 10)  # 4:2:0 wants even numbers
    assert [round(one.time / 1e6) for one in read] == [80 * i for i in range(10)]
    assert max(error(one.rgb[:97, :131], picture(i, 97, 131)) for i, one in enumerate(read)) < 8
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert context.pix_fmt == 'yuv420p'
        assert context.name in ('h264', 'vp9', 'libdav1d', 'libvpx-vp9')
    if suffix == '.mp4':  # plays before all of it has come
        raw = path.read_bytes()
        assert raw.index(b'moov') < raw.index(b'mdat')


def test_wrong_pictures_and_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'v.gif is no video, expected a name ending in \.mp4'):
        VideoFile(tmp_path / 'v.gif', 10)
    with (
        pytest.raises(ValueError, match='are 128x96, the next is 64x96'),
        VideoFile(tmp_path / 'v.mp4', 10) as video,
    ):
        video.write(picture(0))
        video.write(picture(0, width=64))
    assert list(tmp_path.iterdir()) == []


def test_stopping_keeps_the_pictures_under_another_name(tmp_path: Path, caplog) -> None:
    with pytest.raises(KeyboardInterrupt), VideoFile(tmp_path / 'v.mp4', 10) as video:
        video.write(picture(0))
        video.write(picture(1))
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ['v.partial.mp4']
    assert len(list(VideoReader(tmp_path / 'v.partial.mp4'))) == 2
    assert f'v.mp4 was not finished: the pictures so far are {tmp_path}/v.partial' in caplog.text


def test_a_full_disk_leaves_no_video(tmp_path: Path) -> None:
    script = (
        'import sys, numpy as np; from pathlib import Path\n'
        'from surgseg_ros.media.video import VideoFile\n'
        'random = np.random.default_rng(0)\n'
        'with VideoFile(Path(sys.argv[1]), 10) as video:\n'
        '    for _ in range(100): video.write(random.integers(0, 255, (96, 128, 3), np.uint8))\n'
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [sys.executable, '-B', '-c', script, str(tmp_path / 'v.mp4')],
        cwd=REPOSITORY,
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert f'OSError: {tmp_path}/v.mp4 cannot be written: File too large' in done.stderr
    assert list(tmp_path.iterdir()) == []
