"""Parameters of semantic_node that only SurgicalSAM has, and what they mean to its predictor."""

from typing import Any

from surgseg_ros.nodes.parameters import Parameter, Parameters

SURGICALSAM_PARAMETERS = (
    Parameter('sam_weights', '', 'SurgicalSAM: the SAM checkpoint beside published weights'),
    Parameter('classes', [0], 'SurgicalSAM: class ids to look for; 0 is all', live=True),
    Parameter(
        'quality_threshold',
        -1.0,
        'SurgicalSAM: predicted quality of a mask from which it '
        'counts; below 0 is what the weights say',
        range=(-1.0, 1.0),
        live=True,
    ),
    Parameter(
        'presence_threshold',
        -1.0,
        'SurgicalSAM: presence of a class from which it counts; below 0 is what the weights say',
        range=(-1.0, 1.0),
        live=True,
    ),
    Parameter(
        'encode_every',
        1,
        'SurgicalSAM: frames that share the features of one',
        range=(1, 1000),
        live=True,
    ),
    Parameter(
        'asynchronous',
        False,
        'SurgicalSAM: no frame waits for new features; their age is in the diagnostics',
        live=True,
    ),
    Parameter(
        'max_feature_age',
        1.0,
        'SurgicalSAM: a frame whose features are of one more than '
        'this older, in s, is rejected; 0 is no limit',
        range=(0.0, 1000.0),
        live=True,
    ),
    Parameter(
        'encoder_size',
        0,
        'SurgicalSAM: px of the image that the encoder sees; smaller is '
        'faster; 0 is what the weights say',
        range=(0, 1024),
    ),
)


def surgicalsam_options(p: Parameters) -> dict[str, Any]:
    """Options of predictors.create that do not change live."""
    return {'sam_weights': p.sam_weights or None, 'encoder_size': p.encoder_size or None}


def change_surgicalsam(predictor: Any, p: Parameters) -> None:
    """Put the live parameters into force."""
    predictor.classes = _classes(p)
    predictor.encode_every, predictor.asynchronous = p.encode_every, p.asynchronous
    for name, own in predictor.own_thresholds.items():
        value = getattr(p, name)
        setattr(predictor, name, value if value >= 0 else own)


def _classes(p: Parameters) -> list[int] | None:
    return None if 0 in p.classes else list(p.classes)
