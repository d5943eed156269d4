"""Every registered network on every backend against torch float32, eager."""

import ctypes
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from golden_recipe import fill_network, rng, texture

from surgseg_ros import backends, networks
from surgseg_ros.backends import exports
from surgseg_ros.backends.model import Model
from surgseg_ros.backends.runtime import Runtime

torch = pytest.importorskip('torch', reason='networks need torch')
InvertedResidual = pytest.importorskip('surgseg_ros.networks.mobilenet_v2').InvertedResidual

F32_LIMIT = 1e-4  # of max difference / standard deviation
FLIPPED = 1e-3  # of the values, where rounding may decide between two
BF16_LIMIT = 0.03  # of mean difference / standard deviation; 0.011 to 0.015 seen
LARGE = 6_000_000  # parameters; of every architecture there is a smaller one
EXAMPLES = [
    pytest.param(
        (name, example),
        id=f'{name}-{index}',
        marks=pytest.mark.long if networks.spec(name).parameters > LARGE else (),
    )
    for name in networks.available()
    for index, example in enumerate(networks.spec(name).examples)
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Hold weights and exports of this module: exports are slow, and shared by its tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp('backends')
        patch.setenv('SURGSEG_CACHE', str(folder / 'cache'))
        yield folder


def example_model(folder, name, example=None):
    """Return a network with deterministic weights, as in one (the first) of its examples."""
    example = example or networks.spec(name).examples[0]
    weights = folder / f'{name}-{zlib.crc32(repr(example).encode()):08x}.pt'
    if not weights.exists():
        network = damped(fill_network(networks.create(name, **example.options)))
        torch.save(network.state_dict(), weights)
    return Model(name, weights, example.inputs, example.options)


def damped(network):
    """Scale MobileNet's residual branches as fill() does ResNet's: else rounding grows tenfold."""
    for module in network.modules():
        if isinstance(module, InvertedResidual) and module._shortcut:
            module.conv[-1].weight.data *= 0.25
    return network


def example_inputs(name, example, empty):
    """Return views of one textured scene as normalised images, the rest at random.

    empty: so many rows and columns of images are zero, below and to the right, as by padding.
    """
    known, inputs = networks.spec(name), []
    for index, (title, shape) in enumerate(example.inputs.items()):
        if shape[1] != 3:
            inputs.append(rng(title).standard_normal(shape).astype(np.float32))
            continue
        height, width = shape[2] - empty[0], shape[3] - empty[1]
        image = texture('parity', height, width + 16)[:, 6 * index : 6 * index + width]
        normalised = (image / np.float32(255) - np.float32(known.mean)) / np.float32(known.std)
        inputs.append(np.zeros(shape, np.float32))
        inputs[-1][0, :, :height, :width] = normalised.transpose(2, 0, 1)
    return inputs


@pytest.fixture(scope='module', params=EXAMPLES)
def case(request, folder):
    """Model, and for whole and padded images the inputs and what torch makes of them."""
    name, example = request.param
    model = example_model(folder, name, example)
    network = networks.create(name, **example.options).eval()
    networks.load_checkpoint(network, model.weights)
    runs = []
    for empty in ((0, 0), (6, 10)):
        inputs = example_inputs(name, example, empty)
        with torch.inference_mode():
            outputs = network.infer(*map(torch.from_numpy, inputs))
        runs.append((inputs, [output.numpy() for output in outputs]))
    return model, runs


@pytest.mark.parametrize('kind', backends.available())
def test_f32_agrees_with_torch(case, kind):
    model, runs = case
    backend = backends.create(model, Runtime(kind, 'cpu', 'f32'))
    for inputs, expected in runs:
        outputs = backend.run(*inputs)
        assert len(outputs) == len(expected) > 0
        for output, reference in zip(outputs, expected, strict=True):
            assert output.shape == reference.shape and output.dtype == np.float32
            apart = np.abs(output - reference) >= F32_LIMIT * reference.std()
            assert apart.mean() <= (0 if continuous(model) else FLIPPED)


def continuous(model):
    return all(example.continuous for example in networks.spec(model.name).examples)


@pytest.mark.parametrize('kind', ['openvino', 'torch'])
def test_bf16_is_close_where_the_processor_has_it(case, kind):
    model, runs = case
    if not continuous(model):
        pytest.skip('rounding may decide what comes out')
    try:
        backend = backends.create(model, Runtime(kind, 'cpu', 'bf16'))
    except ValueError as error:
        assert kind == 'openvino' and 'does not compute in bf16' in str(error)
        return
    inputs, expected = runs[0]
    for output, reference in zip(backend.run(*inputs), expected, strict=True):
        assert np.abs(output - reference).mean() < BF16_LIMIT * reference.std()
        assert np.abs(output - reference).max() > F32_LIMIT * reference.std()  # it was bf16


@pytest.mark.parametrize('kind', ['openvino', 'onnxruntime'])
def test_a_cached_export_needs_no_torch(folder, kind):
    model = example_model(folder, 'msdesis_light')
    exports.onnx_file(model)
    code = f"""
import sys
import numpy as np
from surgseg_ros import predictors
predictor = predictors.create(
    'msdesis_light', weights={str(model.weights)!r}, backend={kind!r}, device='cpu')
image = np.zeros((250, 310, 3), np.uint8)
assert predictor.predict(image, image).disparity.shape == (250, 310)
assert 'torch' not in sys.modules and 'onnx' not in sys.modules
"""
    subprocess.run([sys.executable, '-c', code], check=True)


def test_wrong_weights_are_named_by_the_exporting_process(folder):
    light = example_model(folder, 'msdesis_light')
    wrong = Model('msdesis_resnet34', light.weights, light.inputs, light.options)
    sentence = 'does not fit msdesis_resnet34: .* it looks like msdesis_light'
    with pytest.raises(ValueError, match=sentence):
        backends.create(wrong, Runtime('onnxruntime'))
    assert not list((exports.cache_folder() / 'onnx').glob(f'*{wrong.digest()}*'))


def test_an_export_that_fails_is_one_sentence(folder, tmp_path, monkeypatch):
    model = example_model(folder, 'msdesis_light')
    (tmp_path / 'torch.py').write_text('raise RuntimeError("broken torch")')
    monkeypatch.setenv('SURGSEG_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    with pytest.raises(OSError, match='could not be exported .*: RuntimeError: broken torch'):
        exports.onnx_file(model)


def test_the_digest_covers_weights_options_and_shapes(tmp_path):
    (tmp_path / 'a.pt').write_bytes(b'a')
    (tmp_path / 'b.pt').write_bytes(b'b')
    (tmp_path / 'copy.pt').write_bytes(b'a')
    shape = {'left': (1, 3, 32, 32)}
    model = Model('msdesis_light', tmp_path / 'a.pt', shape)
    others = [
        Model('msdesis_resnet34', tmp_path / 'a.pt', shape),
        Model('msdesis_light', tmp_path / 'b.pt', shape),
        Model('msdesis_light', tmp_path / 'a.pt', {'left': (1, 3, 32, 64)}),
        Model('msdesis_light', tmp_path / 'a.pt', shape, {'mode': 'disparity'}),
    ]
    assert len({model.digest(), *(other.digest() for other in others)}) == 5
    assert Model('msdesis_light', tmp_path / 'copy.pt', shape).digest() == model.digest()
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        Model('msdesis_light', tmp_path / 'c.pt', shape).digest()


def test_an_export_appears_complete_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv('SURGSEG_CACHE', str(tmp_path / 'cache'))
    (tmp_path / 'a.pt').write_bytes(b'a')
    model = Model('msdesis_light', tmp_path / 'a.pt', {'left': (1, 3, 32, 32)})
    both_writing = threading.Barrier(2, timeout=20)

    def export(model: Model, path: Path) -> None:
        path.write_bytes(b'half')
        both_writing.wait()
        assert not [
            found
            for found in (tmp_path / 'cache/onnx').glob('*.onnx')
            if found.read_bytes() != b'halfwhole'
        ]
        path.write_bytes(b'halfwhole')

    monkeypatch.setattr(exports, '_export', export)
    contents = []
    threads = [
        threading.Thread(target=lambda: contents.append(exports.onnx_file(model).read_bytes()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents == [b'halfwhole'] * 2
    suffixes = sorted(path.suffix for path in (tmp_path / 'cache/onnx').iterdir())
    assert suffixes == ['.onnx', '.sha256']


def test_what_cannot_be_is_refused_in_a_sentence(folder, monkeypatch):
    model = example_model(folder, 'msdesis_light')
    for options, sentence in (
        ({'backend': 'tensorflow'}, "backend is 'tensorflow', expected one of auto, openvino"),
        (
            {'backend': 'torch', 'device': 'tpu'},
            "device is 'tpu', expected one of auto, cpu, cuda",
        ),
        (
            {'backend': 'torch', 'precision': 'int8'},
            "precision is 'int8', expected one of auto, f32",
        ),
        ({'backend': 'openvino', 'device': 'cuda'}, 'openvino runs on the CPU'),
        (
            {'backend': 'onnxruntime', 'precision': 'bf16'},
            'onnxruntime computes in f32, not in bf16',
        ),
        ({'backend': 'torch', 'device': 'cpu', 'precision': 'fp16'}, 'no fp16 on the CPU'),
    ):
        with pytest.raises(ValueError, match=sentence):
            backends.create(model, Runtime(**options))
    monkeypatch.setattr(backends, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='pip install openvino'):
        backends.create(model, Runtime('openvino'))
    with pytest.raises(ImportError, match='pip install openvino'):
        backends.create(model, Runtime(device='cpu'))
    monkeypatch.setattr(exports, 'find_spec', lambda name: None if name == 'onnxscript' else True)
    monkeypatch.setenv('SURGSEG_CACHE', str(folder / 'empty'))
    with pytest.raises(ImportError, match='exporting msdesis_light needs pip install onnxscript'):
        exports.onnx_file(model)


def test_auto_takes_the_fastest_that_is_installed(monkeypatch):
    installed = {'torch', 'onnxruntime', 'openvino'}
    monkeypatch.setattr(backends, 'find_spec', lambda name: name in installed or None)
    for kind in ('openvino', 'onnxruntime', 'torch'):
        assert backends.choose('cpu') == kind
        installed.remove(kind)


def test_a_gpu_is_believed_only_if_the_driver_counts_one(monkeypatch):
    class Driver:
        devices = 0

        def cuInit(self, flags):  # noqa: N802
            return 0

        def cuDeviceGetCount(self, count):  # noqa: N802
            count._obj.value = self.devices
            return 0

    driver = Driver()
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: driver)
    assert not backends.gpu_visible()
    driver.devices = 1
    assert backends.gpu_visible()
