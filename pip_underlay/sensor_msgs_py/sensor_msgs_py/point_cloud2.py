"""PointCloud2 messages as NumPy arrays and back, with upstream's interface.

What does not fit raises AssertionError, as upstream does, or TypeError for too few bytes.
"""

import array
import sys
from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

__all__ = [
    'create_cloud',
    'create_cloud_xyz32',
    'dtype_from_fields',
    'read_points',
    'read_points_list',
    'read_points_numpy',
]

DUMMY_FIELD_PREFIX = 'unnamed_field'  # of fields without a name; their position follows

_DATATYPES = {
    PointField.INT8: np.dtype(np.int8),
    PointField.UINT8: np.dtype(np.uint8),
    PointField.INT16: np.dtype(np.int16),
    PointField.UINT16: np.dtype(np.uint16),
    PointField.INT32: np.dtype(np.int32),
    PointField.UINT32: np.dtype(np.uint32),
    PointField.FLOAT32: np.dtype(np.float32),
    PointField.FLOAT64: np.dtype(np.float64),
}


def read_points(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | np.ndarray | None = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """Return the points as a structured array, one record per point.

    field_names: those to read, all by default. skip_nans: leave out points with a NaN, unless the
    cloud says that it is dense. uvs: indices of the points to read. reshape_organized_cloud:
    return an organised cloud as width x height records, as upstream does.
    """
    assert isinstance(cloud, PointCloud2), 'cloud is no sensor_msgs.msg.PointCloud2'
    dtype = dtype_from_fields(cloud.fields, point_step=cloud.point_step)
    points = np.ndarray((cloud.width * cloud.height,), dtype, buffer=cloud.data)
    if field_names is not None:
        missing = [name for name in field_names if name not in dtype.names]
        assert not missing, f'the cloud has no fields {missing}, it has {dtype.names}'
        points = points[list(field_names)]
    if cloud.is_bigendian != (sys.byteorder == 'big'):
        points = points.byteswap()
    if skip_nans and not cloud.is_dense:
        points = points[~np.any([np.isnan(points[name]) for name in points.dtype.names], axis=0)]
    if uvs is not None:
        points = points[uvs if isinstance(uvs, np.ndarray) else np.fromiter(uvs, int)]
    if reshape_organized_cloud and cloud.height > 1:
        points = points.reshape(cloud.width, cloud.height)
    return points


def read_points_numpy(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | np.ndarray | None = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """Return the points as a plain array, N x fields, for fields of one datatype.

    Arguments as for read_points().
    """
    wanted = [f for f in cloud.fields if field_names is None or f.name in field_names]
    assert len({field.datatype for field in wanted}) <= 1, (
        'the fields have several datatypes: read_points() reads them'
    )
    points = read_points(cloud, field_names, skip_nans, uvs, reshape_organized_cloud)
    return structured_to_unstructured(points)


def read_points_list(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | np.ndarray | None = None,
) -> list[Any]:
    """Return the points as named tuples; arguments as for read_points(), which is faster."""
    points = read_points(cloud, field_names, skip_nans, uvs)
    point = namedtuple('Point', points.dtype.names)  # type: ignore[misc]
    return [point._make(record) for record in points]


def dtype_from_fields(fields: Iterable[PointField], point_step: int | None = None) -> np.dtype:
    """Return the dtype of a point; a field `a` of count 2 becomes a_0 and a_1.

    point_step: bytes from one point to the next, by default where the last field ends.
    """
    columns = [column for index, field in enumerate(fields) for column in _columns(index, field)]
    names = [name for name, _, _ in columns]
    assert len(set(names)) == len(names), 'two fields of the cloud have the same name'
    layout: dict[str, Any] = {
        'names': names,
        'formats': [datatype.str for _, datatype, _ in columns],
        'offsets': [offset for _, _, offset in columns],
    }
    if point_step is not None:
        layout['itemsize'] = point_step
    return np.dtype(layout)


def _columns(index: int, field: PointField) -> list[tuple[str, np.dtype, int]]:
    """Name, datatype and offset of every number in a field."""
    assert field.count > 0, f'field "{field.name}" of the cloud has count 0'
    datatype = _DATATYPES[field.datatype]
    name = field.name or f'{DUMMY_FIELD_PREFIX}_{index}'
    if field.count == 1:
        return [(name, datatype, field.offset)]
    return [
        (f'{name}_{number}', datatype, field.offset + number * datatype.itemsize)
        for number in range(field.count)
    ]


def create_cloud(
    header: Header,
    fields: Sequence[PointField],
    points: Iterable[Any],
    point_step: int | None = None,
) -> PointCloud2:
    """Make a message of points: a structured array, a plain one (... x fields) or an iterable.

    fields: in the order of the points' values. point_step: as for dtype_from_fields(). A 2-D
    array of points becomes an organised cloud, its first axis the width, as in upstream.
    """
    records = _records(fields, points, dtype_from_fields(fields, point_step))
    assert records.ndim <= 2, f'points have {records.ndim} axes, an organised cloud has two'
    width, height = (*records.shape, 1)[:2]
    step = records.dtype.itemsize
    cloud = PointCloud2(
        header=header,
        height=height,
        width=width,
        is_dense=False,
        is_bigendian=sys.byteorder == 'big',
        fields=fields,
        point_step=step,
        row_step=step * width,
    )
    cloud.data = array.array('B', records.tobytes())  # the constructor would check every byte
    return cloud


def _records(fields: Sequence[PointField], points: Iterable[Any], dtype: np.dtype) -> np.ndarray:
    if not isinstance(points, np.ndarray):
        return np.array(list(map(tuple, points)), dtype)
    if points.dtype.names is None:
        same = len({field.datatype for field in fields}) <= 1
        assert same, 'the fields have several datatypes: pass a structured array'
        return unstructured_to_structured(points, dtype)
    assert points.dtype == dtype, f'the points are {points.dtype}, the fields say {dtype}'
    return points


def create_cloud_xyz32(header: Header, points: Iterable[Any]) -> PointCloud2:
    """Make a message of points with x, y and z, float32."""
    fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate('xyz')
    ]
    return create_cloud(header, fields, points)
