"""Cuts in time within the series of units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import indexable

from skmoe._data.checks import check_integer, check_metadata
from skmoe._data.series import ranks_in_time
from skmoe._numerics.typing import Array


class UnitTimeSeriesSplit(BaseCrossValidator):
    """Cross-validation that cuts the series of each unit in time.

    It is `sklearn.model_selection.TimeSeriesSplit` within each unit [1]_: a test set has some
    successive rows of every unit, and the training set the rows before these. Use it where the
    future of known units is to be predicted, and `GroupKFold` with the units as groups where units
    are new. See "Regimes that persist in time" in the user guide.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits, at least 2. Units with fewer than `n_splits + 1` rows are in the training
        sets only.

    See Also
    --------
    sklearn.model_selection.TimeSeriesSplit : The same for a single series.
    sklearn.model_selection.GroupKFold : Folds of whole units.

    References
    ----------
    .. [1] R. J. Hyndman and G. Athanasopoulos (2021), "Forecasting: Principles and Practice", 3rd
       edition, OTexts, section 5.10.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.model_selection import UnitTimeSeriesSplit
    >>> units = ["a", "a", "a", "a", "b", "b", "b"]
    >>> for train, test in UnitTimeSeriesSplit(2).split(np.zeros((7, 1)), groups=units):
    ...     print(train, test)
    [0 1 4] [2 5]
    [0 1 2 4 5] [3 6]
    """

    # Metadata routing passes both to it.
    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True, "time": True}

    def __init__(self, n_splits: int = 5) -> None:
        self.n_splits = n_splits

    def split(
        self, X: Any, y: Any = None, groups: Any = None, time: Any = None
    ) -> Iterator[tuple[Array, Array]]:
        """Indices of the rows of the training set and the test set of each split.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,), default=None
            Target, which makes no difference.
        groups : array-like of shape (n_samples,), default=None
            Units of the rows; None for one series.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of each unit; None for the order in which they are given.

        Yields
        ------
        train, test : ndarray of int
            Indices of rows, in increasing order.

        Raises
        ------
        ValueError
            If no unit has more rows than there are splits, or times of a unit are equal.
        """
        n_splits = check_integer("n_splits", self.n_splits, least=2)
        X, groups, time = indexable(X, groups, time)
        n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
        given = check_metadata({"units": groups, "time": time}, n_rows)
        codes, ranks = ranks_in_time(given.get("units"), given.get("time"), n_rows)
        sizes = np.bincount(codes)
        if sizes.max() <= n_splits:
            raise ValueError(
                f"n_splits={n_splits} needs a unit with more rows than that; the largest has "
                f"{sizes.max()}. Use fewer splits, or GroupKFold for whole units."
            )
        position = ranks - (np.cumsum(sizes) - sizes)[codes]
        size = (sizes // (n_splits + 1))[codes]  # of the test set in the unit of each row
        for i in range(n_splits):
            first = sizes[codes] - (n_splits - i) * size
            is_test = (size > 0) & (position >= first) & (position < first + size)
            yield np.flatnonzero(position < first), np.flatnonzero(is_test)

    def get_n_splits(
        self, X: Any = None, y: Any = None, groups: Any = None, time: Any = None
    ) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups, time : object, default=None
            Not used.

        Returns
        -------
        n_splits : int
            The parameter `n_splits`.
        """
        return int(self.n_splits)

    def get_metadata_routing(self) -> Any:
        """Routing of metadata: `groups` and `time`, which `split` takes.

        Returns
        -------
        routing : MetadataRequest
            See scikit-learn's user guide on metadata routing.
        """
        return super().get_metadata_routing()
