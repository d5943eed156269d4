"""What the README shows is what the code has."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from surgseg_ros.cli import main
from surgseg_ros.nodes import describe

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / 'README.md').read_text()
BLOCKS = ''.join(re.findall(r'```bash\n(.*?)```', README, re.DOTALL))
COMMANDS = re.findall(r'^surgseg .*$', BLOCKS, re.MULTILINE)


def test_tables_are_those_of_the_code() -> None:
    assert describe.filled(README) == README, 'run `make docs`'


def test_every_parameter_and_topic_of_the_nodes_is_listed() -> None:
    for name in (
        'model',
        'scale',
        'rectify',
        'max_stamp_difference',
        'autostart',
        'classes',
        'backend',
        'max_gap',
    ):
        assert f'| `{name}` |' in README
    for topic in (
        'disparity',
        'points2',
        'stereo/overlay',
        'left/camera_info',
        'segmentation',
        'segmentation/label_info',
        'instances',
        'detections',
    ):
        assert f'| `/endoscope/{topic}` |' in README


def test_a_file_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match='parameters: begin'):
        describe.filled('no tables here')


@pytest.mark.parametrize('command', COMMANDS)
def test_commands_have_the_arguments_they_are_shown_with(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(command, comments=True)[1:]
    module = importlib.import_module(f'surgseg_ros.commands.{words[0]}')
    monkeypatch.setattr(module, 'run', lambda args: 0)
    assert main(words) == 0


def test_files_that_the_readme_names_are_there() -> None:
    for path in (
        'LICENSE',
        'Dockerfile',
        'config/fastdds.xml',
        'config/pipelines/stereo.yaml',
        'config/pipelines/semantic.yaml',
        'config/pipelines/instance.yaml',
        'config/pipelines/perception.yaml',
        'launch/stereo_pipeline.launch.py',
        'launch/semantic_pipeline.launch.py',
        'launch/instance_pipeline.launch.py',
    ):
        assert (REPOSITORY / path).is_file()


def test_rviz_shows_image_overlays_and_cloud_in_the_frame_of_the_endoscope() -> None:
    config = yaml.safe_load((REPOSITORY / 'config' / 'perception.rviz').read_text())
    manager = config['Visualization Manager']
    shown = {
        display['Topic']['Value']: display['Class']
        for display in manager['Displays']
        if display['Enabled'] and 'Topic' in display
    }
    assert shown == {
        'left/image_rect': 'rviz_default_plugins/Image',
        'stereo/overlay': 'rviz_default_plugins/Image',
        'semantic/overlay': 'rviz_default_plugins/Image',
        'instance/overlay': 'rviz_default_plugins/Image',
        'points2': 'rviz_default_plugins/PointCloud2',
    }
    published = {
        topic for node in describe.PERCEIVING for _, topic, *_ in describe.graph(node, 'endoscope')
    }
    assert {f'/endoscope/{topic}' for topic in shown} <= published
    assert manager['Global Options']['Fixed Frame'] == 'endoscope_left_optical'
