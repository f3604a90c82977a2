"""What weights are taken for, and the clusters and strata of a sample."""

from __future__ import annotations

import numpy as np

from skmoe._data.censored_targets import point_values
from skmoe._data.checks import shown
from skmoe._data.rows import Rows
from skmoe._data.units import encode_units
from skmoe._mixture.information import Clusters
from skmoe.exceptions import WeightsWarning, warn_user

# Mean weights beyond which rows of a continuous y are hardly so many equal rows.
MAX_MEAN_FREQUENCY = 2.0


def warn_of_weights(name: str, rows: Rows) -> None:
    """A warning of weights that are hardly the numbers of rows for which they are taken."""
    y, n_rows, total = point_values(rows.y), rows.n_rows, rows.weight.sum()
    is_far = not 1.0 / MAX_MEAN_FREQUENCY <= total / n_rows <= MAX_MEAN_FREQUENCY
    if (rows.weight != np.round(rows.weight)).any():
        reason = "they are not whole numbers"
    elif is_far and (y != np.round(y)).any():
        reason = f"their sum, {total:g}, is far from the number of rows, {n_rows}"
    else:
        return
    labels = "np.arange(len(y))" if rows.unit is None else "units"
    warn_user(
        f"{name} took sample_weight as frequencies, a weight of 2 as two rows; {reason}. For "
        'sampling weights pass method="sandwich" with cluster= and strata= of the sample, or with '
        f"cluster={labels} if it has neither. If y is an average of so many values, pass them as "
        "var_weights in place of sample_weight, to fit as well. Otherwise standard errors, "
        "p-values and criteria are wrong.",
        WeightsWarning,
    )


def clusters_of(rows: Rows, method: str) -> Clusters | None:
    """The clusters of rows or units, and their strata, for the sandwich; None if not given."""
    given = " and ".join(rows.metadata)
    if method != "sandwich":
        raise ValueError(
            f'{given} needs method="sandwich", whose scores are summed over the rows of a cluster; '
            f'got method={method!r}. Use method="sandwich", or leave {given} out.'
        )
    of_rows = rows.unit_codes if rows.series is None else rows.series
    if np.ptp(of_rows) == 0:
        raise ValueError(
            'method must not be "sandwich" with a single unit or series, whose scores sum to zero '
            'at the maximum. Use method="observed", or "bootstrap".'
        )
    if not rows.metadata:
        return None
    first = np.unique(of_rows, return_index=True)[1]
    strata, cluster = np.zeros(rows.n_rows, dtype=int), of_rows
    for name, labels in rows.metadata.items():
        codes = encode_units(labels)[1]
        cut = codes != codes[first][of_rows]
        if cut.any():
            raise ValueError(
                f"{name} must keep the rows of a unit together; row {int(cut.argmax())} has "
                "another label than the first row of its unit. Use coarser labels."
            )
        strata, cluster = (codes, cluster) if name == "strata" else (strata, codes)
    # Clusters are those of a stratum: labels may begin again in each.
    pairs, codes = np.unique(np.stack([strata, cluster])[:, first], axis=1, return_inverse=True)
    sizes = np.bincount(pairs[0])
    if sizes.min() < 2:
        name = "strata" if "strata" in rows.metadata else "cluster"
        label = shown(rows.metadata[name][strata == sizes.argmin()][0])
        raise ValueError(
            f"{name} must give at least two distinct clusters, of each stratum if there are any; "
            f"got one of {label}. Join small strata, or leave it out if the rows are independent."
        )
    codes = codes.ravel() if rows.series is None else codes.ravel()[rows.series]
    return Clusters(codes, pairs[0])


def kinds_of_weights(rows: Rows, counts_units: bool) -> list[str]:
    """What the weights of validated rows have been taken for; empty if all are one.

    Those of the rows of a unit are powers of densities also where there are clusters, unless they
    count units.
    """
    found = []
    if not np.isin(rows.weight, [0.0, 1.0]).all():
        is_sample = rows.metadata and (rows.unit is None or counts_units)
        found.append("sampling" if is_sample else "frequencies")
    return found + ["averages"] * (rows.n_values is not None)
