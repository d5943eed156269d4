"""Predictors: numpy image in, result dataclass out. No ROS; heavy imports only on create().

p = predictors.create('lwanet')                        # with the weights of the package
p = predictors.create('msdesis_light', weights='...', backend='openvino', threads=2)
result = p.predict(image)                              # stereo: predict(left, right)
"""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from surgseg_ros import networks
from surgseg_ros.backends.runtime import AUTO, Runtime
from surgseg_ros.predictors.protocols import (
    InstancePredictor,
    Predictor,
    SemanticPredictor,
    StereoPredictor,
)
from surgseg_ros.registry import Registry

if TYPE_CHECKING:
    from surgseg_ros.predictors.surgicalsam import SurgicalSamPredictor

__all__ = [
    'InstancePredictor',
    'Predictor',
    'Runtime',
    'SemanticPredictor',
    'StereoPredictor',
    'available',
    'create',
    'instance',
    'semantic',
    'stereo',
]

StereoName = Literal['msdesis_light', 'msdesis_resnet34', 'sgbm']
InstanceName = Literal[
    'solo_r50', 'solo_r18', 'solo_mobilenet', 'fassst_416', 'fassst_768', 'fassst_small'
]

_PREDICTORS = Registry(
    'predictor',
    {
        'sgbm': 'surgseg_ros.predictors.sgbm:SgbmPredictor',
        **{name: networks.spec(name).predictor for name in networks.available()},
    },
)


def available() -> list[str]:
    """Names that create() knows."""
    return sorted(_PREDICTORS)


def stereo() -> tuple[str, ...]:
    """Names of the stereo matchers."""
    return (*networks.available_for('stereo'), 'sgbm')


def semantic() -> tuple[str, ...]:
    """Names of the networks that give every pixel a class."""
    return networks.available_for('semantic')


def instance() -> tuple[str, ...]:
    """Names of the networks that tell one instrument from another."""
    return networks.available_for('instances')


@overload
def create(
    name: StereoName,
    *,
    weights: str | Path | None = ...,
    runtime: Runtime = ...,
    **options: object,
) -> StereoPredictor: ...
@overload
def create(
    name: Literal['lwanet'],
    *,
    weights: str | Path | None = ...,
    runtime: Runtime = ...,
    **options: object,
) -> SemanticPredictor: ...
@overload
def create(
    name: Literal['surgicalsam'],
    *,
    weights: str | Path | None = ...,
    runtime: Runtime = ...,
    **options: object,
) -> 'SurgicalSamPredictor': ...
@overload
def create(
    name: InstanceName,
    *,
    weights: str | Path | None = ...,
    runtime: Runtime = ...,
    **options: object,
) -> InstancePredictor: ...
@overload
def create(  # a name that is known only when it runs: whoever calls says of which kind it is
    name: str, *, weights: str | Path | None = ..., runtime: Runtime = ..., **options: object
) -> Any: ...


def create(
    name: str, *, weights: str | Path | None = None, runtime: Runtime = AUTO, **options: Any
) -> Any:
    """Make the predictor `name`.

    weights: a checkpoint, here or in the package's share folder; None is what comes with the
    package. runtime: how its network runs; its fields may also be given one by one, as
    backend='openvino', device='cpu', precision='f32', threads=2. options: those of its
    class. Raises ValueError for an unknown name, TypeError for an unknown option, and what the
    class raises.
    """
    make = _PREDICTORS.load(name)
    given = {field.name: options.pop(field.name, None) for field in fields(Runtime)}
    told = {key: value for key, value in given.items() if value is not None}
    network = (name,) if name in networks.available() else ()
    return make(*network, weights=weights, runtime=replace(runtime, **told), **options)
