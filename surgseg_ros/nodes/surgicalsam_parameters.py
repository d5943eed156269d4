"""Parameters of semantic_node that only SurgicalSAM has, and what they mean to its predictor."""

from typing import Any

from surgseg_ros.nodes.parameters import Parameter, Parameters

SURGICALSAM_PARAMETERS = (
    Parameter('sam_weights', '', 'SurgicalSAM: the SAM checkpoint beside published weights'),
    Parameter('classes', [0], 'SurgicalSAM: class ids to look for; 0 is all', live=True),
    Parameter('quality_threshold', -1.0, 'SurgicalSAM: predicted quality of a mask from which it '
              'counts; -1 is what the weights say', range=(-1.0, 1.0), live=True),
    Parameter('presence_threshold', -1.0, 'SurgicalSAM: presence of a class from which it '
              'counts; -1 is what the weights say', range=(-1.0, 1.0), live=True),
    Parameter('encode_every', 1, 'SurgicalSAM: frames that share the features of one',
              range=(1, 1000), live=True),
    Parameter('asynchronous', False, 'SurgicalSAM: no frame waits for new features; their age is '
              'in the diagnostics', live=True),
    Parameter('encoder_size', 0, 'SurgicalSAM: px of the image that the encoder sees; smaller is '
              'faster; 0 is what the weights say', range=(0, 1024)),
)


def surgicalsam_options(p: Parameters) -> dict[str, Any]:
    """Options of predictors.create, those that change live included."""
    thresholds = {name: value for name, value in _thresholds(p).items() if value >= 0}
    return {'sam_weights': p.sam_weights or None, 'classes': _classes(p), **thresholds,
            'encoder_size': p.encoder_size or None, 'encode_every': p.encode_every,
            'asynchronous': p.asynchronous}


def change_surgicalsam(predictor: Any, p: Parameters) -> None:
    """Put the live parameters into force; a threshold of -1 keeps what the predictor has."""
    predictor.classes = _classes(p)
    predictor.encode_every, predictor.asynchronous = p.encode_every, p.asynchronous
    for name, value in _thresholds(p).items():
        if value >= 0:
            setattr(predictor, name, value)


def _classes(p: Parameters) -> list[int] | None:
    return None if 0 in p.classes else list(p.classes)


def _thresholds(p: Parameters) -> dict[str, float]:
    return {name: getattr(p, name) for name in ('quality_threshold', 'presence_threshold')}
