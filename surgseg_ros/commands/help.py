"""The help of the commands: every default, and examples of the command that is asked about."""

import argparse
from typing import Any

EXAMPLES = """\
surgseg demo --frames 50 --out out/demo
surgseg up stereo source:=case.mcap
surgseg up stereo --show-args
surgseg simulate case.mcap --frames 20
surgseg simulate real.mcap --look surgery --seed 7 --frames 20
surgseg replay case.mcap --lockstep
surgseg infer stereo case.mcap --out out/stereo --cloud
surgseg infer semantic images/ --out out/classes --overlay
surgseg infer instances video.mp4 --out out/found --track --overlay
surgseg register session.mcap --arm PSM1 --out out/registration
surgseg train lwanet_finetune --set data.root=mine
surgseg ablate config/ablations/solo_simulated.yaml
surgseg ablate config/ablations/ibr_simulated.yaml --table classes
surgseg evaluate bag recording.mcap max_rate:=0 --pipeline perception --lockstep
surgseg evaluate stereo results.mcap --truth case.mcap
surgseg evaluate segmentation --pred predicted/ --truth labels/ --num-classes 2
surgseg evaluate semantic --pred predicted/ --truth labels/ --num-classes 2
surgseg evaluate instances --pred results.json --truth annotations.json
surgseg evaluate tracking --frames 100
surgseg evaluate pose --source sim:seed=5,frames=50 --masks true --disparity sgbm
surgseg bench stereo --size 640x512 --rounds 5
surgseg bench semantic --threads 2
surgseg bench instances --model solo_mobilenet
surgseg bench node --node stereo --rate 30
surgseg bench transport
surgseg fit-uncertainty --seeds 4000-4008 --frames 6
surgseg datasets to-coco --dataset simulated --root data/simulated --split val --out data/coco
surgseg datasets check mine --out out/check
surgseg bags info case.mcap
surgseg bags convert case.mcap case_db3 --storage sqlite3
surgseg bags recover interrupted recovered.mcap
surgseg bags pack video.mp4 video.mcap --calibration stereo.yaml --stacking horizontal
surgseg bags calibration case.mcap out/calibration
surgseg models list
surgseg models info msdesis_light
surgseg models verify light.pt
surgseg models import light.pt light.safetensors
surgseg topics
surgseg doctor --quick
"""


class CommandParser(argparse.ArgumentParser):
    """A parser whose help ends with those of the examples that begin with its own name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{'formatter_class': _HelpFormatter} | options)

    def format_help(self) -> str:
        """See argparse."""
        if ' ' not in self.prog:
            return super().format_help()  # it has too many
        own = [line for line in EXAMPLES.splitlines() if f'{line} '.startswith(f'{self.prog} ')]
        return '\n  '.join([f'{super().format_help()}\nexamples:', *own]) + '\n'


class _HelpFormatter(argparse.HelpFormatter):
    """States the defaults that the help texts do not state themselves."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or '', action.default
        if default in (None, '', argparse.SUPPRESS) or default is False or default == []:
            return text
        shown = ' '.join(default) if isinstance(default, list) else str(default)
        stated = 'default' in text or text.endswith(f'({shown})')
        return text if stated else f'{text} ({shown.replace("%", "%%")})'.lstrip()
