"""`overwrite` replaces a bag and deletes nothing else."""

from pathlib import Path

import pytest

from surgseg_ros.bags import BagError, BagReader, BagWriter, make_message

STRING = 'std_msgs/msg/String'


def write(path: Path, text: str, overwrite: bool = False) -> Path:
    with BagWriter(path, overwrite=overwrite) as writer:
        writer.write('/text', STRING, make_message(STRING, data=text), 1)
    return path


def read(path: Path) -> list[str]:
    with BagReader(path) as bag:
        return [item.message.data for item in bag.messages()]


@pytest.mark.parametrize('name', ['bag', 'bag.mcap', 'bag.db3'])
def test_a_bag_is_replaced(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, 'old')
    assert read(write(tmp_path / name, 'new', overwrite=True)) == ['new']
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_torn_bag_is_replaced(tmp_path: Path) -> None:
    folder = write(tmp_path / 'bag', 'old')
    (folder / 'metadata.yaml').unlink()  # as after a killed `ros2 bag record`
    (folder / 'bag.mcap').rename(folder / 'bag_0.mcap')
    assert read(write(folder, 'new', overwrite=True)) == ['new']


@pytest.mark.parametrize(
    ('stranger', 'named'),
    [
        ('thesis.txt', 'thesis.txt'),
        ('other.mcap', 'other.mcap'),
        ('.hidden', '.hidden'),
        ('pictures/1.png', 'pictures/1.png'),
        ('empty/', 'empty'),
    ],
)
def test_what_lies_beside_a_bags_files_is_named_and_stays(
    stranger: str, named: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / 'bag', 'old')
    there = folder / stranger
    if stranger.endswith('/'):
        there.mkdir()
    else:
        there.parent.mkdir(exist_ok=True)
        there.write_text('mine')
    with pytest.raises(BagError, match=f'holds more than a bag: {named}$'):
        write(folder, 'new', overwrite=True)
    assert there.exists() and read(folder) == ['old']


def test_a_folder_with_one_recording_by_another_name_is_no_bag(tmp_path: Path) -> None:
    write(tmp_path / 'surgery.mcap', 'precious')
    with pytest.raises(BagError, match='exists and is no bag'):
        write(tmp_path, 'new', overwrite=True)
    assert read(tmp_path / 'surgery.mcap') == ['precious']


def test_a_link_to_a_bag_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / 'bag', 'old')
    (tmp_path / 'link').symlink_to(tmp_path / 'bag')
    with pytest.raises(BagError, match='is no bag, so it is not overwritten'):
        write(tmp_path / 'link', 'new', overwrite=True)
    assert read(tmp_path / 'bag') == ['old']


def test_metadata_cannot_claim_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / 'victim.mcap').write_text('kept')
    folder = tmp_path / 'bag'
    folder.mkdir()
    (folder / 'notes.txt').write_text('kept')
    claimed = '[../victim.mcap, notes.txt]'
    (folder / 'metadata.yaml').write_text(
        f'rosbag2_bagfile_information: {{relative_file_paths: {claimed}}}'
    )
    with pytest.raises(BagError, match=r'more than a bag: notes\.txt'):
        write(folder, 'new', overwrite=True)
    assert (tmp_path / 'victim.mcap').exists() and (folder / 'notes.txt').exists()


def test_what_came_into_the_folder_meanwhile_stays(tmp_path: Path) -> None:
    folder = write(tmp_path / 'bag', 'old')
    writer = BagWriter(folder, overwrite=True)
    writer.write('/text', STRING, make_message(STRING, data='new'), 1)
    (folder / 'late.txt').touch()
    with pytest.raises(BagError, match=r'more than a bag: late\.txt'):
        writer.close()
    assert read(folder) == ['old']
    assert read(tmp_path / 'bag.partial' / 'bag') == ['new']
