"""Latency of camera images between two processes: Fast DDS as it is, and with our profile."""

import json
from typing import Any

import numpy as np
from tqdm import tqdm

from surgseg_ros.media import children
from surgseg_ros.processes.pipelines import Pipeline

# name: (our environment, arguments of the exchange)
SETTINGS = {
    'as it is, reliable': (False, ['--untuned']),
    'as it is, best effort': (False, ['--untuned', '--best-effort']),
    'our profile, reliable': (True, []),
    'our profile, best effort (nodes)': (True, ['--best-effort']),
}


def compare(rounds: int, frames: int) -> dict[str, list[dict[str, Any]]]:
    """Measure the settings in turns; per setting and round sent, received, median_ms, p99_ms."""
    measured: dict[str, list[dict[str, Any]]] = {title: [] for title in SETTINGS}
    turns = [title for _ in range(rounds) for title in SETTINGS]
    for title in tqdm(turns, unit=' turns', disable=None):
        measured[title].append(_exchange(*SETTINGS[title], frames))
    return measured


def median(rounds: list[dict[str, Any]], key: str) -> float:
    """Median over the rounds in which anything arrived, NaN if nothing ever did."""
    values = [one[key] for one in rounds if one[key] is not None]
    return float(np.median(values)) if values else float('nan')


def _exchange(ours: bool, arguments: list[str], frames: int) -> dict[str, Any]:
    wanted = Pipeline.environment()
    changes = wanted if ours else dict.fromkeys(wanted)
    words = ('-m', 'surgseg_ros.live.exchange', '--frames', str(frames), *arguments)
    done = children.run(children.python(*words), changes=changes, timeout=300)
    if done.returncode:
        raise OSError(f'no image could be exchanged: {children.last_line(done)}')
    return dict(json.loads(done.stdout.splitlines()[-1]))
