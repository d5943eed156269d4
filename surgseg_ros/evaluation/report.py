"""A report as one HTML file that needs nothing else: tables, pictures, how it was made."""

import base64
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment

from surgseg_ros.evaluation.tables import Table
from surgseg_ros.media.files import whole_file

PACKAGES = ('surgseg_ros', 'torch', 'openvino', 'opencv-python-headless', 'numpy', 'rclpy')
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
caption { text-align: left; color: #555; }
th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; }
code { background: #eee; padding: .1em .3em; overflow-wrap: anywhere; }
</style>
<h1>{{ title }}</h1>
<p>Made by <code>{{ command }}</code></p>
{% for section in sections %}
<h2>{{ section.title }}</h2>
{% for line in section.lines %}<p>{{ line }}</p>
{% endfor %}
{% if section.table %}
<table>
<caption>{{ section.table.protocol }}</caption>
<tr><th></th>{% for column in section.table.columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for name, cells in section.table.rows %}
<tr><td>{{ name }}</td>
{%- for cell in cells %}<td>{{ section.table.shown(cell) }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% endif %}
{% for name, data in section.images.items() %}
<figure><img alt="{{ name }}" src="data:image/jpeg;base64,{{ data }}">
<figcaption>{{ section.captions.get(name, name) }}</figcaption></figure>
{% endfor %}
{% endfor %}
<h2>Versions</h2>
<p>{{ versions }}</p>
</html>
"""


@dataclass(frozen=True)
class Section:
    """A part of the report. pictures: HxWx3 uint8 RGB by name; captions: what they show."""

    title: str
    table: Table | None = None
    lines: tuple[str, ...] = ()
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> dict[str, str]:
        """The pictures as JPEG, base64."""
        return {name: _jpeg(picture) for name, picture in self.pictures.items()}


def write_report(path: Path, title: str, command: str, sections: Sequence[Section]) -> None:
    """Write the page; it appears whole or not at all."""
    page = Environment(autoescape=True, trim_blocks=True).from_string(_PAGE)
    text = page.render(title=title, command=command, sections=sections, versions=versions())
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(text)


def versions() -> str:
    """Python, machine and the packages that results depend on."""
    known = [f'Python {sys.version.split()[0]} on {platform.machine()}']
    for name in PACKAGES:
        try:
            known.append(f'{name} {version(name)}')
        except PackageNotFoundError:
            continue
    return ', '.join(known)


def _jpeg(picture: np.ndarray) -> str:
    _, data = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return base64.b64encode(data.tobytes()).decode('ascii')
