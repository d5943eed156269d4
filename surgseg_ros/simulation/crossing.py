"""A sequence for trackers: three instruments of one kind, which cross and cover each other.

    VirtualEndoscope(320, 256, **crossing.OPTIONS), of which the first FRAMES frames

The seed is the first above those of the datasets' scenes (datasets.rendering), and not chosen for
what is seen.
"""

from typing import Any

FRAMES = 300
OPTIONS: dict[str, Any] = {
    'seed': 4_000_000,
    'rate': 15.0,
    'crossing': 9.0,
    'kinds': ('Large Needle Driver',) * 3,
}
