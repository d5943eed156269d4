"""What every step with a network can be told about it."""

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
        'where in the frame the picture is, outside of which nothing is found: full, '
        'x,y,width,height in px, or auto, which looks for black bars and dark surroundings',
    )

    backend: str = setting(
        'auto',
        'what runs a network; auto: torch on a GPU, else the first of the others that is '
        'installed',
        choices=('auto', *backends.available()),
    )
    device: str = setting(
        'auto',
        'where a network runs; auto: a GPU if there is one',
        choices=('auto', *backends.DEVICES),
    )
    precision: str = setting(
        'auto',
        'arithmetic of a network; auto: f32, for bf16 moves results',
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
