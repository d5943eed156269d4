"""Cards: written with the weights, read without torch."""

import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from surgseg_ros.networks.card import Card, read_card

CARD = Card(
    'lwanet',
    {'num_classes': 3, 'attention_fusion': False},
    ('background', 'bipolar forceps', 'Nadelhalter groß'),
    {'input_size': [544, 960], 'metrics': {'mIoU': 0.5}},
)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / 'weights.safetensors'
    save_file({'a': np.zeros((2, 3), np.float32)}, path, metadata=CARD.metadata())
    return path


def test_what_is_written_is_read(weights):
    assert read_card(weights) == CARD
    assert read_card(str(weights)) == CARD


def test_reading_imports_no_torch(weights):
    code = (
        'import sys; from surgseg_ros.networks.card import read_card; '
        'print(read_card(sys.argv[1]).network, "torch" in sys.modules)'
    )
    out = subprocess.run([sys.executable, '-c', code, weights], check=True, capture_output=True)
    assert out.stdout.split() == [b'lwanet', b'False']


def test_files_without_a_card(tmp_path):
    save_file({'a': np.zeros(1, np.float32)}, tmp_path / 'bare.safetensors')
    assert read_card(tmp_path / 'bare.safetensors') is None
    (tmp_path / 'weights.pth').write_bytes(b'whatever torch wrote')
    assert read_card(tmp_path / 'weights.pth') is None


def test_what_is_broken_is_said(tmp_path):
    path = tmp_path / 'weights.safetensors'
    with pytest.raises(FileNotFoundError):
        read_card(path)
    path.write_bytes(b'no such format')
    with pytest.raises(ValueError, match='is not a safetensors file'):
        read_card(path)
    path.write_bytes((6).to_bytes(8, 'little') + b'{"a": ')
    with pytest.raises(ValueError, match='header is no JSON'):
        read_card(path)


@pytest.mark.parametrize(
    ('key', 'value', 'sentence'),
    [
        ('options', '{', ''),
        ('options', '[1]', 'options must be a section with keys, not .1.'),
        (
            'options',
            '{"num_classes": "5"}',
            "num_classes must be a whole number of at least 1, not '5'",
        ),
        (
            'details',
            '{"input_size": "64"}',
            "input_size must be a list of 2, each a whole number of at least 1, not '64'",
        ),
        (
            'details',
            '{"input_size": [64]}',
            r'the key input_size.1. is missing: expected a whole number',
        ),
        ('class_names', '[1, 2]', 'class_names.0. must be a text, not 1'),
    ],
)
def test_a_broken_card_is_said(tmp_path, key, value, sentence):
    path = tmp_path / 'weights.safetensors'
    metadata = {**CARD.metadata(), key: value}
    save_file({'a': np.zeros(1, np.float32)}, path, metadata=metadata)
    with pytest.raises(ValueError, match=f'the card of .* is broken: {sentence}'):
        read_card(path)
