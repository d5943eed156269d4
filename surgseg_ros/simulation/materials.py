"""What surfaces are made of, as the scene labels them and the shader reads them."""

from enum import IntEnum

MM = 1e-3  # m; poses inside this room are in millimetres, what leaves it is in metres


class Material(IntEnum):
    """What a surface is made of."""

    TISSUE = 0
    SHAFT = 1
    STEEL = 2
    DARK_STEEL = 3
