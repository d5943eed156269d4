"""The published networks by name. Importing this imports no torch; create() does.

A new network is one file here with a class that has `forward` (as published, for training) and
`infer` (the tensors that a predictor needs), and one entry in `_SPECS`: nodes, commands, training
and benchmarks find it there.
"""

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgseg_ros.networks.coco import CLASS_NAMES as COCO_NAMES
from surgseg_ros.networks.protocols import TellsOptions
from surgseg_ros.networks.specs import Checkpoint, Example, NetworkSpec, TaskName
from surgseg_ros.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

# of RGB values divided by 255
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

OWN_LICENCE = 'Apache-2.0'  # of what is ours: no code or weights of the authors are in it


def _msdesis(encoder: str, tensors: int, parameters: int) -> NetworkSpec:
    folders = {
        'phase_1/disparity': 'FlyingThings3D',
        'phase_2/disparity': 'SCARED key frames, from phase 1',
        'phase_2/multitask': 'RIS 2017 stereo, disparity unsupervised, from phase 1',
        'phase_2/segmentation': 'RIS 2017 monocular, from phase 1',
    }
    return NetworkSpec(
        constructor='surgseg_ros.networks.msdesis:Msdesis',
        task='stereo',
        predictor='surgseg_ros.predictors.msdesis:MsdesisPredictor',
        arguments={'encoder': encoder},
        # the authors infer and evaluate with the statistics of SCARED, on RIS 2017 too
        mean=(0.5339, 0.3666, 0.4537),
        std=(0.2006, 0.1978, 0.2128),
        multiple=32,
        tensors=tensors,
        parameters=parameters,
        class_names=('tissue', 'tool'),
        paper='Psychogyios et al., MSDESIS, IEEE TMI 2022, doi:10.1109/TMI.2022.3181229',
        homepage='https://github.com/dimitrisPs/msdesis',
        licence='MIT',
        checkpoints=tuple(
            Checkpoint(f'{folder}/{encoder}.pt', training) for folder, training in folders.items()
        ),
        examples=(
            Example(
                {'left': (1, 3, 256, 320), 'right': (1, 3, 256, 320)},
                # as the predictor's, to share its export
                {'mode': 'multitask', 'max_disparity': 320},
            ),
        ),
    )


def _lwanet() -> NetworkSpec:
    return NetworkSpec(
        constructor='surgseg_ros.networks.lwanet:Lwanet',
        task='semantic',
        predictor='surgseg_ros.predictors.lwanet:LwanetPredictor',
        input_size=(544, 960),
        stride=4,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        multiple=32,
        tensors=471,
        parameters=2_071_464,
        class_names=(
            'background',
            'Bipolar Forceps',
            'Prograsp Forceps',
            'Large Needle Driver',
            'Vessel Sealer',
            'Grasping Retractor',
            'Monopolar Curved Scissors',
            'Other',
        ),
        paper='Ni et al., LWANet, ICRA 2020, arXiv:1910.11109',
        homepage='https://github.com/nizhenliang/LWANet',
        licence='none stated, all rights reserved',
        checkpoints=(
            Checkpoint('weights_7.pth', "Cata7, epoch 7 (IoU 6 %): not the paper's model"),
        ),
        examples=(Example({'image': (1, 3, 256, 320)}, {'num_classes': 11}),),
    )


def _surgicalsam() -> NetworkSpec:
    return NetworkSpec(
        constructor='surgseg_ros.networks.surgicalsam:SurgicalSam',
        task='semantic',
        predictor='surgseg_ros.predictors.surgicalsam:SurgicalSamPredictor',
        # SAM's, which are ImageNet's
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        multiple=1024,
        tensors=148,
        parameters=4_657_970,
        class_names=(
            'background',
            'Bipolar Forceps',
            'Prograsp Forceps',
            'Large Needle Driver',
            'Monopolar Curved Scissors',
            'Ultrasound Probe',
            'Suction Instrument',
            'Clip Applier',
        ),
        paper='Yue et al., SurgicalSAM, AAAI 2024, arXiv:2308.08746',
        homepage='https://github.com/wenxi-yue/SurgicalSAM',
        licence='MIT',
        checkpoints=(
            Checkpoint('endovis_2018/model_ckp.pth', 'EndoVis 2018, 2 tokens, upon SAM vit_h'),
            *(
                Checkpoint(
                    f'endovis_2017/fold{fold}/model_ckp.pth',
                    f'EndoVis 2017 but fold {fold}, 4 tokens, upon SAM vit_h',
                )
                for fold in range(4)
            ),
        ),
        # prompts at random make its attention so sharp that rounding shows
        examples=(Example({'features': (1, 64, 64, 256), 'prompts': (7, 7)}, continuous=False),),
    )


def _solo(
    example: Mapping[str, object],
    tensors: int,
    parameters: int,
    published: bool = False,
    input_size: tuple[int, int] = (800, 1333),  # the short side to 800 px, as for COCO
    **arguments: object,
) -> NetworkSpec:
    return NetworkSpec(
        constructor='surgseg_ros.networks.solo:Solo',
        task='instances',
        predictor='surgseg_ros.predictors.solo:SoloPredictor',
        input_size=input_size,
        arguments=arguments,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        multiple=32,
        tensors=tensors,
        parameters=parameters,
        class_names=COCO_NAMES,
        paper='Wang et al., SOLO, ECCV 2020, arXiv:1912.04488',
        homepage='https://github.com/WXinlong/SOLO',
        licence='non-commercial' if published else OWN_LICENCE,
        checkpoints=(Checkpoint('solo_r50_fpn_8gpu_3x', 'COCO, 36 epochs'),) if published else (),
        examples=(Example({'image': (1, 3, 256, 320)}, example, continuous=False),),
    )


def _fassst(
    example: Mapping[str, object], parameters: int, continuous: bool = True, **arguments: Any
) -> NetworkSpec:
    size = arguments['size']
    return NetworkSpec(
        constructor='surgseg_ros.networks.fassst:Fassst',
        task='instances',
        predictor='surgseg_ros.predictors.fassst:FassstPredictor',
        arguments=arguments,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        multiple=size,
        tensors=424,
        parameters=parameters,
        class_names=COCO_NAMES,
        paper='Cheng et al., FASSST, WACV 2022',
        homepage='',
        licence=OWN_LICENCE,
        checkpoints=(),
        examples=(Example({'image': (1, 3, size, size)}, example, continuous),),
    )


_SPECS = {
    # few boxes in the examples, as each runs the whole tail; and three classes, because the mask
    # is that of the best one: with five, bf16 decides a tie of 0.003
    'fassst_416': _fassst({'num_classes': 3, 'num_boxes': 9}, 9_084_640, size=416),
    # bf16 moves its boxes, and with them the places that its masks are sampled at, too far
    'fassst_768': _fassst(
        {'num_classes': 5, 'num_boxes': 4}, 9_084_640, continuous=False, size=768
    ),
    # 4 times narrower in pyramid, tail and attention module, for CPUs and ablations
    'fassst_small': _fassst({'num_classes': 5}, 2_460_496, size=256, width=64, num_boxes=16),
    'lwanet': _lwanet(),
    'msdesis_light': _msdesis('light', tensors=328, parameters=3_295_829),
    'msdesis_resnet34': _msdesis('resnet34', tensors=484, parameters=29_487_861),
    # every cell, and no order of the cells that rounding decides
    'solo_r50': _solo(
        {'num_classes': 5, 'candidates': 1600},
        tensors=388,
        parameters=36_301_232,
        published=True,
        backbone='resnet50',
    ),
    'solo_r18': _solo(
        {'num_classes': 5, 'candidates': 1600, 'coordinates': False},
        tensors=190,
        parameters=23_232_432,
        backbone='resnet18',
    ),
    # half as wide, 4 convolutions of 7 and grids half as fine, for 320 x 256 px on a CPU
    'solo_mobilenet': _solo(
        {'num_classes': 5, 'candidates': 400, 'attention': True},
        tensors=358,
        parameters=3_864_088,
        input_size=(256, 320),
        backbone='mobilenet_v2',
        width=128,
        depth=4,
        grids=(20, 18, 12, 8, 6),
    ),
    'surgicalsam': _surgicalsam(),
}


_NETWORKS = Registry('network', {name: one.constructor for name, one in _SPECS.items()})


def available() -> list[str]:
    """Names that create() knows."""
    return sorted(_NETWORKS)


def available_for(task: TaskName) -> tuple[str, ...]:
    """Names of the networks for this task."""
    return tuple(name for name in available() if _SPECS[name].task == task)


def spec(name: str) -> NetworkSpec:
    """What is known about the network `name`; ValueError with the known names if there is none."""
    _NETWORKS.check(name)
    return _SPECS[name]


def create(name: str, **options: object) -> 'nn.Module':
    """Build the network `name`, float32, with random weights, in training mode.

    options: those of its class, such as mode='disparity'. Raises ValueError for an unknown name
    or option.
    """
    make, arguments = _NETWORKS.load(name), {**spec(name).arguments, **options}
    try:
        signature(make).bind(**arguments)
    except TypeError as error:
        raise ValueError(f'options do not suit {name}: {error}') from error
    network: nn.Module = make(**arguments)
    return network


def options_of(name: str, tensors: 'Mapping[str, Tensor]') -> dict[str, object]:
    """Options of create() that the shapes of these tensors of the network `name` tell."""
    network = _NETWORKS.load(name)
    return network.options_of(tensors) if isinstance(network, TellsOptions) else {}


def load_checkpoint(
    network: 'nn.Module', path: str | Path, base: str | Path | None = None, key: str | None = None
) -> None:
    """Load weights strictly: every tensor of the network must be in the file, and no other.

    path: a .safetensors file, or one that torch.save wrote (.pt, .pth, .ckpt): a plain state_dict,
    or a dict that has one below 'state_dict', 'model', 'net' ..., as Lightning and others save
    it. What DataParallel, torch.compile and Lightning put before its keys is removed. It is read
    in a process of its own, and no pickled code is ever executed. base: a second file, for the
    parts of the network that `path` has nothing of: SAM's checkpoint beside SurgicalSAM's. key:
    which weights of several, such as 'ema'. Raises FileNotFoundError, or ValueError with one
    sentence that says what does not fit and which registered network the file looks like, or
    which tensor is not finite.
    """
    from surgseg_ros.networks.checkpoints import load

    load(network, Path(path), Path(base) if base else None, key)
