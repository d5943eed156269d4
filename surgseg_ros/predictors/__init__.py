"""Predictors: numpy image in, result dataclass out. No ROS; heavy imports only on create()."""

from importlib import import_module
from typing import Any

# stereo: predict(left, right) -> StereoResult
_STEREO = {
    'msdesis_light': 'surgseg_ros.predictors.msdesis:light',
    'msdesis_resnet34': 'surgseg_ros.predictors.msdesis:resnet34',
    'sgbm': 'surgseg_ros.predictors.sgbm:SgbmPredictor',
}
# semantic: predict(image, probabilities=False) -> SemanticResult
_SEMANTIC = {
    'lwanet': 'surgseg_ros.predictors.lwanet:LwanetPredictor',
    'surgicalsam': 'surgseg_ros.predictors.surgicalsam:SurgicalSamPredictor',
}
# instances: predict(image) -> InstanceResult
_INSTANCE = {
    'solo_r50': 'surgseg_ros.predictors.solo:r50',
    'solo_r18': 'surgseg_ros.predictors.solo:r18',
    'solo_mobilenet': 'surgseg_ros.predictors.solo:mobilenet',
    'fassst_416': 'surgseg_ros.predictors.fassst:fassst_416',
    'fassst_768': 'surgseg_ros.predictors.fassst:fassst_768',
    'fassst_small': 'surgseg_ros.predictors.fassst:fassst_small',
}
_PREDICTORS = {**_STEREO, **_SEMANTIC, **_INSTANCE}


def available() -> list[str]:
    """Names that create() knows."""
    return sorted(_PREDICTORS)


def stereo() -> tuple[str, ...]:
    """Names of the stereo matchers."""
    return tuple(_STEREO)


def semantic() -> tuple[str, ...]:
    """Names of the networks that give every pixel a class."""
    return tuple(_SEMANTIC)


def instance() -> tuple[str, ...]:
    """Names of the networks that tell one instrument from another."""
    return tuple(_INSTANCE)


def create(name: str, **options: Any) -> Any:
    """Make the predictor `name`; options are its constructor's (weights, backend, ...).

    Raises ValueError with the known names if there is no such predictor.
    """
    if name not in _PREDICTORS:
        raise ValueError(f'no predictor is called {name!r}; known: {", ".join(available())}')
    module, _, attribute = _PREDICTORS[name].partition(':')
    return getattr(import_module(module), attribute)(**options)
