"""Settings of every step that runs a network."""

from dataclasses import dataclass

from surgseg_ros import backends
from surgseg_ros.backends.runtime import Runtime
from surgseg_ros.geometry.content_area import parse_content_area
from surgseg_ros.perception.settings import check, setting


@dataclass(frozen=True)
class NetworkSettings:
    """How a network runs, on what; steps add `model`, `weights` and what their task needs."""

    content_area: str = setting(
        'auto',
        'part of the frame that holds the picture; nothing is found outside of it: full, '
        'x,y,width,height in px, or auto, which detects black bars and dark surroundings',
    )

    backend: str = setting(
        'auto',
        'inference engine; auto: torch if there is a GPU, otherwise the first of the others that '
        'is installed',
        choices=('auto', *backends.available()),
    )
    device: str = setting(
        'auto',
        'device on which a network runs; auto: a GPU if there is one',
        choices=('auto', *backends.DEVICES),
    )
    precision: str = setting(
        'auto',
        'arithmetic of a network; auto: f32, because bf16, although faster, changes results',
        choices=('auto', *backends.PRECISIONS),
    )
    threads: int | None = setting(
        None, 'CPU threads of a network', range=(1, 256), unset=0, absent='all'
    )

    def __post_init__(self) -> None:
        check(self)
        parse_content_area(self.content_area)

    def runtime(self) -> Runtime:
        """How a network runs, for predictors.create."""
        return Runtime(self.backend, self.device, self.precision, self.threads)
