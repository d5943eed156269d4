"""Refuses outputs that are not finite, which must not pass for an empty result."""

from collections.abc import Sequence

import numpy as np


def check_finite(name: str, outputs: Sequence[np.ndarray]) -> None:
    """Raise ValueError where outputs of the network `name` hold NaN or infinity.

    Every comparison with NaN is false, so broken weights or a broken precision would otherwise
    look like frames without instruments. A sum per output, which is finite only if all of it is,
    costs no more than reading it once.
    """
    with np.errstate(all='ignore'):
        suspect = not np.isfinite([output.sum() for output in outputs]).all()
    if not suspect:
        return
    wrong = sum(np.count_nonzero(~np.isfinite(output)) for output in outputs)
    if wrong:  # else the sum of finite values has overflown
        raise ValueError(
            f'{wrong} of {sum(output.size for output in outputs)} outputs of {name} are not finite'
        )
