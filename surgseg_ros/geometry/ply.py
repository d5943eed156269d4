"""Write a coloured point cloud as PLY, which MeshLab, CloudCompare and Open3D open."""

from pathlib import Path

import numpy as np

_VERTEX = np.dtype([('xyz', '<f4', 3), ('rgb', 'u1', 3)])
_HEADER = """ply
format binary_little_endian 1.0
comment metres, left optical frame (x right, y down, z forward)
element vertex {count}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
end_header
"""


def write_ply(path: str | Path, cloud: np.ndarray) -> int:
    """Write the finite points of a cloud from disparity_to_cloud; return how many there are."""
    cloud = cloud[np.isfinite(cloud['z'])]
    vertices = np.empty(cloud.size, _VERTEX)
    for axis, name in enumerate('xyz'):
        vertices['xyz'][:, axis] = cloud[name]
    colours = np.ascontiguousarray(cloud['rgb']).view(np.uint32)
    for channel, shift in enumerate((16, 8, 0)):
        vertices['rgb'][:, channel] = colours >> shift & 0xFF
    with Path(path).open('wb') as file:
        file.write(_HEADER.format(count=cloud.size).encode())
        file.write(vertices.tobytes())
    return int(cloud.size)
