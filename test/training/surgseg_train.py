"""`surgseg train` as users start it, in processes of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from conftest import REPOSITORY

TWO_PROCESSES = ('-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2')


def command(
    recipe: Path, out: Path, overrides: Sequence[str], launcher: Sequence[str] = ()
) -> list[str]:
    settings = [word for one in overrides for word in ('--set', one)]
    return [
        sys.executable,
        *launcher,
        '-m',
        'surgseg_ros.cli',
        'train',
        str(recipe),
        '--out',
        str(out),
        *settings,
    ]


def environment() -> dict[str, str]:
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(REPOSITORY)}


def run(words: Sequence[str]) -> str:
    """What the command prints; it must succeed."""
    process = subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        printed, said = process.communicate(timeout=240)
    finally:
        process.terminate()  # unlike kill(), it reaches the processes that torchrun has started
    assert process.returncode == 0, printed + said
    return printed
