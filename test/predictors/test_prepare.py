"""What a predictor is after its backend could not be made."""

import numpy as np
import pytest
from golden_recipe import fill_network, texture

from surgseg_ros import backends, networks, predictors

torch = pytest.importorskip('torch', reason='networks need torch')


@pytest.mark.parametrize(
    ('name', 'field'),
    [('lwanet', 'labels'), ('solo_mobilenet', 'scores'), ('msdesis_light', 'tool_mask')],
)
def test_a_size_that_failed_leaves_nothing_behind(tmp_path, monkeypatch, name, field):
    options = {'num_classes': 80} if name.startswith('solo') else {}
    torch.save(fill_network(networks.create(name, **options)).state_dict(), tmp_path / 'w.pt')
    create, sizes = backends.create, []

    def choosy(*args, model, **options):
        sizes.append(model.inputs)
        if len(sizes) == 2:
            raise RuntimeError('no memory')
        return create(*args, model=model, **options)

    monkeypatch.setattr(backends, 'create', choosy)
    predictor = predictors.create(
        name, weights=tmp_path / 'w.pt', backend='torch', device='cpu', threads=1
    )
    images = [texture('prepare', 64, 96)] * (2 if name.startswith('msdesis') else 1)
    expected = getattr(predictor.predict(*images), field)
    with pytest.raises(RuntimeError, match='no memory'):
        predictor.prepare(96, 160)
    np.testing.assert_array_equal(getattr(predictor.predict(*images), field), expected)
    assert sizes[2:] in ([], sizes[:1])  # the backend of before was kept, or made again
