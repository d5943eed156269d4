"""What README and docs show is what the code has."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from surgseg_ros.cli import main
from surgseg_ros.nodes import describe

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text()
    for path in (
        REPOSITORY / 'README.md',
        REPOSITORY / 'CONTRIBUTING.md',
        REPOSITORY / 'models' / 'README.md',
        *sorted((REPOSITORY / 'docs').glob('*.md')),
    )
}
TABLES = PAGES['docs/topics.md']
BLOCKS = ''.join(
    block for page in PAGES.values() for block in re.findall(r'```bash\n(.*?)```', page, re.DOTALL)
)
COMMANDS = sorted(set(re.findall(r'^surgseg [a-z].*$', BLOCKS, re.MULTILINE)))
LINKS = [
    (page, link)
    for page, text in PAGES.items()
    for link in re.findall(r'\]\(([^)#\s]+)[^)]*\)', text)
    if not link.startswith(('http://', 'https://', 'mailto:'))
]


def test_tables_are_those_of_the_code() -> None:
    assert describe.filled(TABLES) == TABLES, 'run `make docs`'


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
        assert f'| `{name}` |' in TABLES
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
        assert f'| `/endoscope/{topic}` |' in TABLES


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


@pytest.mark.parametrize(('page', 'link'), LINKS, ids=[f'{page}:{link}' for page, link in LINKS])
def test_files_that_pages_link_to_are_there(page: str, link: str) -> None:
    assert (REPOSITORY / page).parent.joinpath(link).exists()


def test_the_readme_is_a_front_door() -> None:
    assert len(PAGES['README.md'].splitlines()) <= 180


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
        row.topic for name in describe.PERCEIVING for row in describe.graph(name, 'endoscope')
    }
    assert {f'/endoscope/{topic}' for topic in shown} <= published
    assert manager['Global Options']['Fixed Frame'] == 'endoscope_left_optical'


def test_planner_files_take_topics_that_the_tool_pose_node_publishes() -> None:
    folder = REPOSITORY / 'config' / 'planners'
    published = {
        row.topic: row.type for row in describe.graph('tool_pose', 'endoscope') if 'out' in row
    }
    moveit = yaml.safe_load((folder / 'moveit_sensors_3d.yaml').read_text())
    for topic, type_name, sensor in (
        ('point_cloud_topic', 'sensor_msgs/PointCloud2', 'tissue_points'),
        ('image_topic', 'sensor_msgs/Image', 'tissue_depth'),
    ):
        assert published[moveit[sensor][topic]] == type_name
    assert set(moveit['sensors']) <= set(moveit)
    nvblox = (folder / 'nvblox.yaml').read_text()
    assert yaml.safe_load(nvblox)['/**']['ros__parameters']['use_depth'] is True
    remapped = re.findall(r'-r \S+:=(\S+)', nvblox)
    assert [published[topic] for topic in remapped] == [
        'sensor_msgs/Image',
        'sensor_msgs/CameraInfo',
    ]
