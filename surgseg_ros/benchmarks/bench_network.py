"""How fast a network runs here: contenders in processes of their own, turn by turn.

Other work on the machine slows every contender alike when they take turns, so that ratios of
medians hold where single times do not.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np

from surgseg_ros.media import children

# glibc maps and unmaps every large activation anew unless it is told to keep them
TUNED_MALLOC = {'MALLOC_MMAP_THRESHOLD_': str(4 << 30), 'MALLOC_TRIM_THRESHOLD_': str(16 << 30)}


@dataclass(frozen=True)
class Contender:
    """One way to run the network: predictor options (None: as its authors), environment."""

    title: str
    options: Mapping[str, object] | None
    environment: Mapping[str, str] = field(default_factory=dict)


CONTENDERS = (
    Contender('published way', None),
    Contender('published way, malloc tuned', None, TUNED_MALLOC),
    Contender('torch', {'backend': 'torch', 'device': 'cpu', 'precision': 'f32'}),
    Contender('onnxruntime', {'backend': 'onnxruntime', 'device': 'cpu', 'precision': 'f32'}),
    Contender('openvino', {'backend': 'openvino', 'precision': 'f32'}),
    Contender('openvino bf16', {'backend': 'openvino', 'precision': 'bf16'}),
)


@dataclass(frozen=True)
class Workload:
    """What every contender does: the network on images of width x height px.

    kind: 'stereo', 'semantic' or 'instances'. scale: at which the network sees them.
    """

    kind: str
    network: str
    weights: str
    width: int
    height: int
    scale: float = 1.0
    threads: int | None = None


# modules whose start(task, options) loads a contender and returns what a turn is: it makes the
# disparity HxW float32 px, the labels HxW uint8 or the masks of instances N x H x W bool, of the
# same images every time
_KINDS = {
    'stereo': 'surgseg_ros.benchmarks.bench_stereo',
    'semantic': 'surgseg_ros.benchmarks.bench_semantic',
    'instances': 'surgseg_ros.benchmarks.bench_instances',
}
Turn = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Timing:
    """milliseconds: of every turn. start_seconds: from nothing to the first result possible.

    peak_megabytes: resident memory. result: of the last turn.
    """

    title: str
    milliseconds: np.ndarray
    start_seconds: float
    peak_megabytes: float
    result: np.ndarray


def compare(
    task: Workload, contenders: Sequence[Contender], rounds: int
) -> tuple[list[Timing], dict[str, str]]:
    """Let the contenders take turns, `rounds` times after two to warm up.

    Returns the timings, and the reasons of those that cannot run here by their titles.
    """
    players: list[_Player] = []
    refused: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for index, contender in enumerate(contenders):
            starting = _Player.start(task, contender, folder / f'{index}.npy')
            try:
                players.append(stack.enter_context(starting))
            except ValueError as error:
                refused[contender.title] = str(error)
        turns = [[player.turn() for player in players] for _ in range(rounds + 2)]
        measured = np.array(turns[2:]).T
        timings = [player.finish(times) for player, times in zip(players, measured, strict=True)]
    return timings, refused


class _Player:
    """A contender's process: a line in, a line of JSON out."""

    def __init__(self, contender: Contender, process: 'subprocess.Popen[str]', path: Path) -> None:
        self._contender, self._process, self._path = contender, process, path
        start = time.perf_counter()
        self._read()
        self._start_seconds = time.perf_counter() - start

    @classmethod
    @contextmanager
    def start(cls, task: Workload, contender: Contender, path: Path) -> Iterator['_Player']:
        """Start the process and wait until it is ready; it ends with the context."""
        request = json.dumps([asdict(task), contender.options, str(path)])
        process = children.start(
            children.python('-m', __name__, request),
            changes=contender.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            yield cls(contender, process, path)
        finally:
            process.kill()
            process.wait()

    def turn(self) -> float:
        """Milliseconds of one prediction."""
        return self._ask('turn')

    def finish(self, milliseconds: np.ndarray) -> Timing:
        """Make the summary."""
        peak = self._ask('finish')
        return Timing(
            self._contender.title, milliseconds, self._start_seconds, peak, np.load(self._path)
        )

    def _ask(self, word: str) -> float:
        print(word, file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> float:
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline() or '"its process ended"')
        if isinstance(answer, str):
            raise ValueError(answer)
        return float(answer)


def _play(request: str) -> None:
    """Serve the turns of one contender."""
    fields, options, path = json.loads(request)
    task = Workload(**fields)
    try:
        turn: Turn = import_module(_KINDS[task.kind]).start(task, options)
        result = turn()
    except (ValueError, ImportError, OSError) as error:
        print(json.dumps(str(error)))
        return
    print(0, flush=True)
    for word in sys.stdin:
        if word.strip() == 'finish':
            np.save(path, result)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
            return
        start = time.perf_counter()
        result = turn()
        print(1000 * (time.perf_counter() - start), flush=True)


def textured(width: int, height: int) -> np.ndarray:
    """HxWx3 uint8: smooth noise."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


if __name__ == '__main__':
    _play(sys.argv[1])
