"""The stand-in for sensor_msgs_py reads and writes clouds as upstream does."""

import numpy as np
import pytest
from numpy.lib.recfunctions import unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

HEADER = Header(frame_id='frame')
POINTS = np.array(
    [(0, 0.1, 0.2), (1, 1.1, 1.2), (2, 2.1, 2.2), (3, 3.1, 3.2), (4, np.nan, 4.2), (5, 5.1, 5.2)],
    np.float32,
)
F32, F64, U8 = PointField.FLOAT32, PointField.FLOAT64, PointField.UINT8


def fields(*columns: tuple[str, int, int], count: int = 1) -> list[PointField]:
    return [
        PointField(name=name, offset=offset, datatype=datatype, count=count)
        for name, offset, datatype in columns
    ]


XYZ = fields(('x', 0, F32), ('y', 4, F32), ('z', 8, F32))


def cloud_of(data: np.ndarray, described: list[PointField], step: int, height=1) -> PointCloud2:
    """A cloud as another program fills it."""
    count = data.nbytes // step
    return PointCloud2(
        header=HEADER,
        height=height,
        width=count // height,
        fields=described,
        point_step=step,
        row_step=step * (count // height),
        data=data.tobytes(),
    )


XYZ_CLOUD = cloud_of(POINTS, XYZ, 12)


def test_points_are_read_as_records_rows_and_tuples() -> None:
    records = point_cloud2.read_points(XYZ_CLOUD)
    assert records.dtype.names == ('x', 'y', 'z') and records.shape == (6,)
    np.testing.assert_array_equal([list(record) for record in records], POINTS)
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(XYZ_CLOUD), POINTS)
    tuples = point_cloud2.read_points_list(XYZ_CLOUD)
    assert tuples[2].y == POINTS[2, 1] and tuples[5] == tuple(POINTS[5])


def test_fields_and_points_are_chosen_and_nans_left_out() -> None:
    read = point_cloud2.read_points_numpy
    np.testing.assert_array_equal(read(XYZ_CLOUD, field_names=['x', 'z']), POINTS[:, [0, 2]])
    np.testing.assert_array_equal(read(XYZ_CLOUD, skip_nans=True), np.delete(POINTS, 4, 0))
    assert len(read(XYZ_CLOUD, field_names=['x', 'z'], skip_nans=True)) == 6
    np.testing.assert_array_equal(read(XYZ_CLOUD, uvs=[3, 1]), POINTS[[3, 1]])
    np.testing.assert_array_equal(read(XYZ_CLOUD, uvs=np.array([0])), POINTS[:1])
    with pytest.raises(AssertionError, match='no fields'):
        read(XYZ_CLOUD, field_names=['x', 'intensity'])
    with pytest.raises(AssertionError, match='no sensor_msgs'):
        point_cloud2.read_points(POINTS)


def test_organised_clouds_keep_their_shape_when_asked() -> None:
    cloud = cloud_of(POINTS, XYZ, 12, height=3)
    assert point_cloud2.read_points(cloud).shape == (6,)
    read = point_cloud2.read_points_numpy(cloud, reshape_organized_cloud=True)
    np.testing.assert_array_equal(read, POINTS.reshape(2, 3, 3))
    assert point_cloud2.create_cloud_xyz32(HEADER, POINTS.reshape(2, 3, 3)) == cloud


def test_datatypes_may_differ_and_points_may_have_gaps() -> None:
    layout = np.dtype(
        {'names': ['a', 'b', 'c'], 'formats': ['f4', 'f8', 'u1'], 'offsets': [0, 4, 12],
         'itemsize': 20}
    )  # fmt: skip
    records = np.array([(1, 2, 3), (4, 5, 6)], layout)
    described = fields(('a', 0, F32), ('b', 4, F64), ('c', 12, U8))
    cloud = cloud_of(records, described, 20)
    read = point_cloud2.read_points(cloud)
    assert read.dtype == layout and read.tolist() == records.tolist()
    with pytest.raises(AssertionError, match='several datatypes'):
        point_cloud2.read_points_numpy(cloud)
    assert point_cloud2.read_points_numpy(cloud, field_names=['b']).tolist() == [[2.0], [5.0]]
    assert point_cloud2.create_cloud(HEADER, described, records, 20) == cloud
    with pytest.raises(AssertionError, match='the fields say'):
        point_cloud2.create_cloud(HEADER, described, records)


def test_a_field_of_several_numbers_becomes_several_fields() -> None:
    described = fields(('x', 0, F32), count=3)
    cloud = point_cloud2.create_cloud(HEADER, described, POINTS)
    assert cloud == cloud_of(POINTS, described, 12)
    assert point_cloud2.read_points(cloud).dtype.names == ('x_0', 'x_1', 'x_2')
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud), POINTS)


@pytest.mark.parametrize(
    'points', [POINTS.tolist(), POINTS, unstructured_to_structured(POINTS, np.dtype('f4,f4,f4'))]
)
def test_clouds_are_made_of_lists_and_arrays(points) -> None:
    if getattr(points, 'dtype', None) is not None and points.dtype.names:
        points = points.astype(point_cloud2.dtype_from_fields(XYZ))
    made = point_cloud2.create_cloud(HEADER, XYZ, points)
    assert made == XYZ_CLOUD
    assert made != point_cloud2.create_cloud(Header(frame_id='other'), XYZ, points)


def test_the_byte_order_of_the_message_is_respected() -> None:
    cloud = cloud_of(POINTS.astype('>f4'), XYZ, 12)
    cloud.is_bigendian = True
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud), POINTS)


def test_names_are_unique_and_nameless_fields_have_one() -> None:
    dtype = point_cloud2.dtype_from_fields(fields(('', 0, F32), ('x', 4, U8)), point_step=32)
    assert dtype.names == ('unnamed_field_0', 'x') and dtype.itemsize == 32
    with pytest.raises(AssertionError, match='same name'):
        point_cloud2.dtype_from_fields(fields(('x', 0, F32), ('x', 4, F32)))
    with pytest.raises(AssertionError, match='count 0'):
        point_cloud2.dtype_from_fields(fields(('x', 0, F32), count=0))


def test_a_cloud_with_too_few_bytes_is_not_read() -> None:
    cloud = cloud_of(POINTS, XYZ, 12)
    cloud.width = 7
    with pytest.raises(TypeError, match='buffer is too small'):
        point_cloud2.read_points(cloud)
