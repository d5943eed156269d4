"""StampPairer: which stamps pair, what is counted, and how it recovers."""

import random

import pytest

from surgseg_ros.streams.pairing import StampPairer

MS = 1_000_000
FRAME = 33 * MS
SECOND = 1000 * MS


def feed(pairer: StampPairer, *items: tuple[str, int]) -> list[tuple[int, int]]:
    """Add (side, stamp) items, stamps standing for themselves; return the pairs."""
    results = (pairer.add(side, stamp, stamp) for side, stamp in items)
    return [pair for pair in results if pair is not None]


def frames(*stamps: int, right_offset: int = 0) -> list[tuple[str, int]]:
    return [item for s in stamps for item in (('left', s), ('right', s + right_offset))]


def assert_books_balance(pairer: StampPairer) -> None:
    for side in pairer.sides:
        assert pairer.received[side] == (
            pairer.paired
            + pairer.unpaired[side]
            + pairer.out_of_order[side]
            + pairer.waiting(side)
        )


@pytest.fixture
def pairer() -> StampPairer:
    return StampPairer(('left', 'right'))


def test_equal_stamps_pair_in_any_order(pairer):
    assert feed(pairer, ('left', 0), ('right', 0), ('right', FRAME), ('left', FRAME)) == [
        (0, 0),
        (FRAME, FRAME),
    ]


def test_half_a_period_is_the_default_tolerance(pairer):
    feed(pairer, *frames(*range(0, 10 * FRAME, FRAME)))
    assert feed(pairer, *frames(10 * FRAME, right_offset=16 * MS)) != []
    assert feed(pairer, *frames(12 * FRAME, right_offset=17 * MS)) == []


def test_zero_tolerance_is_exact():
    exact = StampPairer(('left', 'right'), max_difference=0)
    assert feed(exact, *frames(0, FRAME, right_offset=1)) == []
    assert feed(exact, *frames(9 * FRAME)) == [(9 * FRAME, 9 * FRAME)]


def test_lost_images_are_counted_and_do_not_shift_the_pairs(pairer):
    assert feed(pairer, ('left', 0), ('left', FRAME), ('right', FRAME)) == [(FRAME, FRAME)]
    assert pairer.unpaired == {'left': 1, 'right': 0}
    assert_books_balance(pairer)


def test_a_lost_eye_costs_bounded_memory_and_pairs_at_once_when_it_returns(pairer):
    feed(pairer, *frames(*range(0, 5 * FRAME, FRAME)))
    feed(pairer, *(('left', i * FRAME) for i in range(5, 200)))
    assert pairer.waiting('left') <= 4
    assert feed(pairer, *frames(200 * FRAME)) == [(200 * FRAME, 200 * FRAME)]
    assert_books_balance(pairer)


def test_a_bag_loop_is_a_new_epoch_from_its_first_frame(pairer):
    stamps = range(0, 300 * FRAME, FRAME)
    assert len(feed(pairer, *frames(*stamps))) == 300
    assert len(feed(pairer, *frames(*stamps))) == 300
    assert pairer.epochs == 1
    assert_books_balance(pairer)


def test_a_loop_after_a_drop_leaves_no_poison(pairer):
    """Upstream's synchroniser pairs 13 of 300 frames here (left-over newer stamps stay)."""
    first = [
        item
        for item in frames(*range(0, 300 * FRAME, FRAME))
        if not (item[0] == 'left' and item[1] >= 288 * FRAME)
    ]
    feed(pairer, *first)
    assert len(feed(pairer, *frames(*range(0, 300 * FRAME, FRAME)))) == 300
    assert_books_balance(pairer)


def test_one_image_out_of_order_is_dropped_and_counted(pairer):
    feed(pairer, *frames(*range(0, 10 * FRAME, FRAME)))
    assert feed(pairer, ('left', 8 * FRAME), *frames(10 * FRAME)) == [(10 * FRAME, 10 * FRAME)]
    assert pairer.out_of_order == {'left': 1, 'right': 0}
    assert pairer.epochs == 0


def test_one_stray_old_image_of_one_eye_starts_no_epoch(pairer):
    feed(pairer, *frames(*range(100 * FRAME, 110 * FRAME, FRAME)))
    assert len(feed(pairer, ('left', 0), *frames(110 * FRAME, 111 * FRAME))) == 2
    assert pairer.epochs == 0
    assert pairer.out_of_order['left'] == 1


def test_a_loop_while_one_eye_is_dead_recovers_with_the_eye(pairer):
    feed(pairer, *frames(*range(0, 30 * FRAME, FRAME)))
    feed(pairer, *(('left', i * FRAME) for i in range(30, 100)))  # right has died
    feed(pairer, *(('left', i * FRAME) for i in range(40)))  # the bag loops
    assert feed(pairer, *frames(40 * FRAME)) == [(40 * FRAME, 40 * FRAME)]
    assert_books_balance(pairer)


def only_equal(pairs: list[tuple[int, int]]) -> bool:
    return bool(pairs) and all(left == right for left, right in pairs)


def test_an_eye_at_half_the_rate_pairs_with_its_own_frames(pairer):
    items = [
        item
        for item in frames(*range(0, 40 * FRAME, FRAME))
        if not (item[0] == 'left' and item[1] // FRAME % 2)
    ]
    pairs = feed(pairer, *items)
    assert only_equal(pairs) and len(pairs) == 20


def test_a_burst_of_losses_at_the_start_pairs_no_neighbours(pairer):
    items = frames(0) + [('right', i * FRAME) for i in range(1, 6)]
    assert only_equal(feed(pairer, *items, *frames(*range(6 * FRAME, 14 * FRAME, FRAME))))


@pytest.mark.parametrize('left_loss, right_loss', [(0.6, 0.05), (0.3, 0.3), (0.5, 0.5)])
def test_random_losses_pair_no_neighbours(pairer, left_loss, right_loss):
    rng = random.Random(0)
    items = [
        item
        for item in frames(*range(0, 2000 * FRAME, FRAME))
        if rng.random() > (left_loss if item[0] == 'left' else right_loss)
    ]
    assert only_equal(feed(pairer, *items))
    assert_books_balance(pairer)


def test_a_single_side_needs_no_partner():
    mono = StampPairer(('left',))
    assert feed(mono, ('left', 0), ('left', FRAME)) == [(0,), (FRAME,)]


@pytest.mark.parametrize('seed', range(20))
def test_books_balance_whatever_comes(seed):
    rng = random.Random(seed)
    pairer = StampPairer(('left', 'right'))
    for _ in range(2000):
        side = rng.choice(pairer.sides)
        pairer.add(side, rng.randrange(0, 40) * FRAME + rng.randrange(-3, 4) * MS, None)
        assert_books_balance(pairer)
        assert max(pairer.waiting(s) for s in pairer.sides) <= 8


@pytest.mark.parametrize(('period', 'gap'), [(FRAME, SECOND), (SECOND, 5 * SECOND)])
def test_gaps_are_counted_by_the_usual_step(period, gap):
    one = StampPairer(('left',))
    last = 9 * period
    feed(one, *(('left', stamp) for stamp in range(0, last + 1, period)))
    feed(one, ('left', last + gap))
    assert one.gaps == 0
    feed(one, ('left', last + 2 * gap + 1))
    assert (one.gaps, one.epochs, one.paired) == (1, 0, 12)


# Sides without which a group is complete.


def fed(pairer: StampPairer, items: str) -> list:
    """Groups of items such as 'a1 b1 c2': side and stamp, in ms."""
    groups = []
    for item in items.split():
        group = pairer.add(item[0], int(item[1:]) * 1_000_000, item)
        if group:
            groups.append(group)
    return groups


@pytest.fixture
def optional() -> StampPairer:
    return StampPairer('abc', max_difference=0, optional='c')


def test_an_optional_side_that_never_comes_is_not_waited_for(optional):
    assert fed(optional, 'a1 b1 a2 b2') == [('a1', 'b1', None), ('a2', 'b2', None)]


def test_an_optional_side_is_waited_for_once_it_has_come(optional):
    assert fed(optional, 'c1 a1 b1 a2 b2 c2') == [('a1', 'b1', 'c1'), ('a2', 'b2', 'c2')]


def test_an_optional_side_that_has_ended_is_given_up(optional):
    groups = fed(optional, 'c1 a1 b1 ' + ' '.join(f'a{i} b{i}' for i in range(2, 12)))
    assert groups[0] == ('a1', 'b1', 'c1')
    assert groups[-1] == ('a11', 'b11', None) and len(groups) > 5
    for side in 'abc':
        assert optional.received[side] == (
            sum(group['abc'.index(side)] is not None for group in groups)
            + optional.unpaired[side]
            + optional.out_of_order[side]
            + optional.waiting(side)
        )


def test_an_optional_side_needs_not_go_back_for_a_new_epoch(optional):
    fed(optional, 'c9000 a9000 b9000')
    assert fed(optional, 'a1 b1') == [] and optional.epochs == 1
    assert fed(optional, 'c1') == [('a1', 'b1', 'c1')]
