"""Estimators that are ready to use: strong ones, and readable ones.

Each function returns an ordinary estimator of this package, with parameters that can be inspected
and changed by `set_params`. They are a start, not a class of their own.
"""
