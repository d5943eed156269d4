import pytest

torch = pytest.importorskip('torch', reason='training needs torch')

from surgseg_ros.training.surgicalsam.image_bank import ImageBank  # noqa: E402


def batch(*class_ids, first=0):
    """Samples whose every field names the sample: its number, from `first` on."""
    numbers = torch.arange(first, first + len(class_ids))
    return {
        'features': numbers.float().view(-1, 1, 1, 1).expand(-1, 2, 2, 3).clone(),
        'masks': numbers.view(-1, 1, 1).expand(-1, 4, 5).clone(),
        'class_embeddings': numbers.float().view(-1, 1).expand(-1, 3).clone(),
        'class_ids': torch.tensor(class_ids, dtype=torch.int64),
    }


def numbers_of(extended):
    """The samples' numbers, after checking that all fields of a sample belong together."""
    fields = [
        extended[name].flatten(1)[:, 0].tolist()
        for name in ('features', 'masks', 'class_embeddings')
    ]
    assert fields[0] == fields[1] == fields[2]
    return [int(number) for number in fields[0]]


def test_four_draws_are_appended_with_all_their_fields():
    given = batch(2, 5, 7)
    extended = ImageBank().extend(given)
    assert {name: len(values) for name, values in extended.items()} == dict.fromkeys(given, 7)
    for name, values in given.items():
        torch.testing.assert_close(extended[name][:3], values)
        assert extended[name].dtype == values.dtype
    class_of = {0: 2, 1: 5, 2: 7}
    ids = [class_of[number] for number in numbers_of(extended)]
    assert extended['class_ids'].tolist() == ids


def test_the_last_sample_of_a_class_stays_also_over_batches():
    bank = ImageBank(draws=50)
    extended = bank.extend(batch(1, 1, 2, 1))
    assert set(numbers_of(extended)[4:]) == {2, 3}
    extended = bank.extend(batch(2, first=10))
    assert set(numbers_of(extended)[1:]) == {3, 10}  # class 1 from the batch before


def test_empty_slots_are_not_drawn_and_all_filled_ones_are_equally_often():
    bank = ImageBank(draws=10)
    assert bank.filled == []
    counts = torch.zeros(8, dtype=torch.int64)
    for _ in range(300):  # the head class 20 times as often as the others
        extended = bank.extend(batch(*[1] * 20, 4, 7))
        counts += extended['class_ids'][22:].bincount(minlength=8)
    assert bank.filled == [1, 4, 7]
    assert counts[[0, 2, 3, 5, 6]].sum() == 0
    assert (counts[[1, 4, 7]] - 1000).abs().max() < 100  # binomial sigma: 26


def test_a_stored_sample_is_a_copy():
    bank = ImageBank(draws=3)
    given = batch(6)
    bank.extend(given)
    given['features'].fill_(-1)
    given['masks'].fill_(-1)
    extended = bank.extend(batch(2, first=1))
    assert set(numbers_of(extended)) <= {0, 1}


def test_no_gradient_flows_through_the_bank():
    bank = ImageBank()
    given = batch(1)
    given['features'].requires_grad_()
    bank.extend(given)
    extended = bank.extend(batch(2, first=1))
    assert not extended['features'].requires_grad


def test_an_empty_batch_on_an_empty_bank_stays_empty():
    assert len(ImageBank().extend(batch())['class_ids']) == 0


def test_resumed_is_uninterrupted(tmp_path):
    whole, first = ImageBank(seed=666), ImageBank(seed=666)
    batches = [
        batch(*ids, first=10 * i)
        for i, ids in enumerate([(1, 2), (3,), (1, 1), (2, 3), (7,), (1,)])
    ]
    expected = [whole.extend(b) for b in batches]
    for b in batches[:3]:
        first.extend(b)
    torch.save(first.state_dict(), tmp_path / 'bank.pt')
    resumed = ImageBank(seed=1)
    resumed.load_state_dict(torch.load(tmp_path / 'bank.pt', weights_only=True))
    for b, extended in zip(batches[3:], expected[3:], strict=True):
        torch.testing.assert_close(resumed.extend(b), extended)


def test_seeds_differ():
    drawn = [
        ImageBank(draws=20, seed=seed).extend(batch(1, 2, 3))['class_ids'].tolist()
        for seed in (0, 1)
    ]
    assert drawn[0] != drawn[1]
