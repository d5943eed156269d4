"""What is known about a network without building it: it travels with the name, as in timm."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Triple = tuple[float, float, float]
TaskName = Literal['stereo', 'semantic', 'instances']


@dataclass(frozen=True)
class Checkpoint:
    """Weights that the authors publish: what they call them, and what they trained them on."""

    name: str
    training: str


@dataclass(frozen=True)
class Example:
    """One way to call the network's `infer`, on which every backend is tested.

    inputs: shape of every input, float32, in order; three channels are a normalised image.
    options: for networks.create. continuous: False where rounding may decide what comes out, as
    which of two cells is the better one: then some values may differ, and precision f32 is needed.
    """

    inputs: Mapping[str, tuple[int, ...]]
    options: Mapping[str, Any] = field(default_factory=dict)
    continuous: bool = True


@dataclass(frozen=True)
class NetworkSpec:
    """One registered network.

    constructor: 'module:class', imported when a network is made; its arguments are `arguments`
    and the caller's options. task: what it is for. predictor: 'module:class' that runs it on
    numpy images; called with the network's name, weights, runtime and options. mean, std: of the
    RGB values divided by 255, as trained. multiple: height and width must be multiples of it.
    tensors, parameters: how many, with the default options. examples: how `infer` is called.
    input_size: (height, width) px of the largest image that it sees, as published; (0, 0) where
    its options or the caller decide. stride: pixels of the image per pixel of its output, where
    it gives every pixel a class. precision: what 'auto' means. homepage: where the authors
    publish code and checkpoints, under `licence`; empty if nowhere.
    """

    constructor: str
    task: TaskName
    predictor: str
    mean: Triple
    std: Triple
    multiple: int
    tensors: int
    parameters: int
    class_names: tuple[str, ...]
    paper: str
    homepage: str
    licence: str
    checkpoints: tuple[Checkpoint, ...]
    examples: tuple[Example, ...]
    input_size: tuple[int, int] = (0, 0)
    stride: int = 1
    precision: str = 'f32'
    arguments: Mapping[str, Any] = field(default_factory=dict)
