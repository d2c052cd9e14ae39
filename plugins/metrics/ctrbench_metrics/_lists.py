"""What the top-k metrics share: the ranked lists and their length.

In: predictions. Out: the rankings that came with them, cut to a length; or the reason why there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le
from ctrbench import Predictions, Rankings, Skip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Length = Annotated[int, "length of a list", Ge(1), Le(100)]


def rankings_of(predictions: Predictions) -> Rankings:
    """The rankings; Skip where the data set asked for none."""
    if predictions.rankings is None:
        raise Skip("top-k metrics need a data set with queries, such as simulated[ranking=1000]")
    return predictions.rankings


def listed(rankings: Rankings, k: int) -> NDArray[np.int32]:
    """The first k items of all queries in one array, (at most queries · k,)."""
    first = rankings.top[:, :k]
    items: NDArray[np.int32] = first[first >= 0]
    return items
