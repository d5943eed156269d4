"""How a network runs: backend, device, precision and number of threads."""

from dataclasses import dataclass

BACKENDS = ('openvino', 'onnxruntime', 'torch')  # the fastest on a CPU first
DEVICES = ('cpu', 'cuda')
PRECISIONS = ('f32', 'bf16', 'fp16')


@dataclass(frozen=True)
class Runtime:
    """The request to a backend.

    backend: one of BACKENDS, or 'auto': torch where it finds a GPU, else the first that is
    installed. device: one of DEVICES, or 'auto': a GPU where the backend can use one. precision:
    one of PRECISIONS, or 'auto', which the spec of the network decides. threads: of the CPU, None
    for all. Raises ValueError in one sentence for anything else.
    """

    backend: str = 'auto'
    device: str = 'auto'
    precision: str = 'auto'
    threads: int | None = None

    def __post_init__(self) -> None:
        _check('backend', self.backend, BACKENDS)
        _check('device', self.device, DEVICES)
        _check('precision', self.precision, PRECISIONS)
        if self.threads is not None and self.threads < 1:
            raise ValueError(f'threads is {self.threads}, expected at least 1, or None for all')


def _check(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in ('auto', *known):
        raise ValueError(f'{what} is {value!r}, expected one of auto, {", ".join(known)}')


AUTO = Runtime()
