"""Average precision of COCO result files."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surgseg_ros.metrics.instances import InstanceMetrics, average_precision


def evaluate(predictions: Path, truth: Path) -> InstanceMetrics:
    """Judge a COCO result file by an annotation file; ValueError if one of them is none."""
    return average_precision(_read(truth), _read(predictions))


def table(metrics: InstanceMetrics) -> str:
    """Format metrics for a terminal, as COCO names them."""
    titles = ('AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L')
    head = ''.join(f'{title:>8}' for title in titles)
    return head + '\n' + ''.join(f'{value:>8.4f}' for value in asdict(metrics).values())


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f'there is no file {path}')
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
