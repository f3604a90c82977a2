"""Censored targets: values of which only bounds are known, such as times of events to come.

They are structured arrays, as `fit` of `MixtureOfExpertsRegressor` takes them. Those of
scikit-survival, with an event and a time, are accepted too. See "Time to an event" in the user
guide.
"""

from skmoe._data.censored_targets import interval_censored, left_censored, right_censored

__all__ = ["interval_censored", "left_censored", "right_censored"]
