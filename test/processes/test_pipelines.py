"""Pipelines: one YAML for launch files and `surgseg up`; real processes for both."""

import sys

import pytest
import yaml
from harness import graph, output, wait_for

from surgseg_ros.media.share import share
from surgseg_ros.nodes.endoscope_node import EndoscopeNode
from surgseg_ros.nodes.instance_node import InstanceNode
from surgseg_ros.nodes.semantic_node import SemanticNode
from surgseg_ros.nodes.stereo_node import StereoNode
from surgseg_ros.nodes.tool_pose_node import ToolPoseNode
from surgseg_ros.processes.pipelines import Pipeline, PipelineNode
from surgseg_ros.processes.supervisor import command, ros_arguments


def test_arguments_reach_the_parameters_with_their_types():
    nodes = {
        node.name: node
        for node in Pipeline.load('stereo').nodes(
            {'scale': '0.5', 'rectify': 'true', 'bag': 'case.mcap', 'max_rate': '15'}
        )
    }
    assert nodes['endoscope'].parameters == {
        'source': 'case.mcap',
        'calibration': '',
        'loop': False,
    }
    given = {
        'model': 'sgbm',
        'weights': '',
        'scale': 0.5,
        'rectify': True,
        'max_rate': 15.0,
        'image_transport': 'raw',
        'max_stamp_difference': -1.0,
    }
    assert nodes['stereo'].parameters == given
    assert nodes['stereo'].namespace == 'endoscope'


def test_camera_starts_no_endoscope_and_rviz_starts_with_its_configuration():
    nodes = {
        node.name: node
        for node in Pipeline.load('stereo').nodes({'source': 'camera', 'rviz': 'true'})
    }
    assert set(nodes) == {'stereo', 'rviz2'}
    assert nodes['rviz2'].arguments == ['-d', str(share() / 'config' / 'perception.rviz')]


PIPELINES = ['stereo', 'semantic', 'instance', 'perception', 'navigation']


@pytest.mark.parametrize('name', PIPELINES)
def test_topics_of_a_camera_are_remapped(name):
    given = {
        'source': 'camera',
        'left': '/camera/infra1/image_rect_raw',
        'right': '/camera/infra2/image_rect_raw',
        'left_info': '/camera/infra1/camera_info',
    }
    for node in Pipeline.load(name).nodes(given):
        assert node.remaps['left/image_rect'] == given['left']
        assert node.remaps['right/image_rect'] == given['right']
        assert node.remaps['left/image_rect/compressed'] == f'{given["left"]}/compressed'
        assert node.remaps['left/camera_info'] == given['left_info']
        assert 'right/camera_info' not in node.remaps
        assert 'stacking' not in node.parameters
        assert 'left/image_raw' not in node.remaps
    for node in Pipeline.load(name).nodes(given | {'rectify': True}):
        assert node.remaps['left/image_raw'] == given['left']
        assert 'left/image_rect' not in node.remaps  # what a node publishes


@pytest.mark.parametrize('name', PIPELINES)
def test_a_camera_with_both_eyes_in_one_topic(name):
    given = {'source': 'camera', 'left': '/rig/stereo/image_raw', 'stacking': 'horizontal'}
    for node in Pipeline.load(name).nodes(given):
        assert node.parameters['stacking'] == 'horizontal'
        assert node.remaps['stereo/image_rect'] == given['left']
        assert 'left/image_rect' not in node.remaps


def test_topics_of_a_bag_are_those_that_the_endoscope_reads():
    given = {'bag': 'rig.mcap', 'left': '/stereo/image_raw', 'stacking': 'vertical'}
    endoscope, stereo = Pipeline.load('stereo').nodes(given)
    assert endoscope.parameters['left'] == '/stereo/image_raw'
    assert endoscope.parameters['stacking'] == 'vertical'
    assert 'right' not in endoscope.parameters
    assert not stereo.remaps and 'stacking' not in stereo.parameters


def test_one_max_rate_reaches_all_nodes_of_perception():
    given = {'max_rate': '7.5', 'instances': 'true'}
    nodes = {node.name: node for node in Pipeline.load('perception').nodes(given)}
    assert set(nodes) == {'endoscope', 'stereo', 'semantic', 'instance'}
    for name in ('stereo', 'semantic', 'instance'):
        assert nodes[name].parameters['max_rate'] == 7.5
    assert nodes['endoscope'].parameters['subscribers'] == 3
    assert 'instance' not in {node.name for node in Pipeline.load('perception').nodes({})}


@pytest.mark.parametrize('name', PIPELINES)
def test_nodes_have_the_parameters_that_a_pipeline_sets(name):
    declared = {
        node: {p.name for p in kind.PARAMETERS}
        for node, kind in (
            ('endoscope', EndoscopeNode),
            ('stereo', StereoNode),
            ('semantic', SemanticNode),
            ('instance', InstanceNode),
            ('tool_pose', ToolPoseNode),
        )
    }
    pipeline = Pipeline.load(name)
    every = {'instances': True} if 'instances' in pipeline.arguments else {}
    stacked = {'left': '/both', 'stacking': 'vertical'}
    for given in (stacked, stacked | {'source': 'camera'}):
        for node in pipeline.nodes(every | given):
            assert set(node.parameters) <= declared[node.name]
    assert (share() / 'launch' / f'{name}_pipeline.launch.py').is_file()


@pytest.mark.parametrize('name', ['semantic', 'perception'])
def test_surgicalsam_is_tuned_from_the_command_line(name):
    given = {
        'classes': '[1, 3]',
        'quality_threshold': '0.4',
        'presence_threshold': '0',
        'encode_every': '5',
        'asynchronous': 'true',
        'encoder_size': '512',
    }
    expected = {
        'classes': [1, 3],
        'quality_threshold': 0.4,
        'presence_threshold': 0.0,
        'encode_every': 5,
        'asynchronous': True,
        'encoder_size': 512,
    }
    [semantic] = [node for node in Pipeline.load(name).nodes(given) if node.name == 'semantic']
    assert {key: semantic.parameters[key] for key in expected} == expected


@pytest.mark.parametrize(
    'given, words',
    [
        ({'modle': 'sgbm'}, "no argument 'modle'"),
        ({'scale': 'half'}, 'scale:=half is not of type float'),
        ({'rectify': '2'}, 'rectify:=2 is not of type bool'),
    ],
)
def test_wrong_arguments_are_named(given, words):
    with pytest.raises(ValueError, match=words):
        Pipeline.load('stereo').nodes(given)


def test_unknown_pipeline_lists_the_known():
    with pytest.raises(ValueError, match=r'known: .*stereo'):
        Pipeline.load('stero')


@pytest.mark.parametrize('value', ['', 'a b', '1', 'true', 1, 0.5, True, ['x', 'y z'], "it's: {"])
def test_ros_arguments_keep_types(value):
    word = ros_arguments({'p': value})[-1]
    assert yaml.safe_load(word.removeprefix('p:=')) == value


def test_remaps_reach_the_command_line():
    node = PipelineNode('stereo_node', 'stereo', 'rig', remaps={'left/image_rect': '/a/left'})
    words = command(node)
    assert words[-3:] == ['__ns:=/rig', '-r', 'left/image_rect:=/a/left']


def test_up_runs_the_pipeline_and_ends_it_with_one_signal():
    with graph() as net:
        net.listen('disparity', 'stereo_msgs/msg/DisparityImage')
        up = net.surgseg('up', 'stereo', 'source:=sim:width=320,height=256')
        wait_for(lambda: len(net.received['disparity']) > 2, 60, lambda: output(up))
        assert net.stop(up) in (0, 130), output(up)
        assert 'Traceback' not in output(up)
        seen = len(net.received['disparity'])
        wait_for(lambda: not net.node.get_publishers_info_by_topic('/endoscope/disparity'))
        assert len(net.received['disparity']) <= seen + 1


def test_up_ends_its_nodes_even_when_it_is_killed():
    with graph() as net:
        net.listen('disparity', 'stereo_msgs/msg/DisparityImage')
        up = net.surgseg('up', 'stereo', 'source:=sim:width=320,height=256')
        wait_for(lambda: net.received['disparity'], 60, lambda: output(up))
        up.kill()
        wait_for(lambda: not net.node.get_publishers_info_by_topic('/endoscope/disparity'), 30)


def test_launch_file_with_the_real_launch():
    pytest.importorskip('launch_ros', reason='no launch_ros (ROS 2 machines have it)')
    pytest.importorskip('ros2launch', reason='ros2launch is not installed')
    with graph() as net:
        net.listen('disparity', 'stereo_msgs/msg/DisparityImage')
        path = share() / 'launch' / 'stereo_pipeline.launch.py'
        launched = net.run(
            [
                sys.executable,
                '-c',
                'from ros2cli.cli import main; main()',
                'launch',
                str(path),
                'source:=sim:width=320,height=256',
            ]
        )
        wait_for(lambda: len(net.received['disparity']) > 2, 60, lambda: output(launched))
        net.stop(launched)
