"""Stacks of models that need no names of their own."""

from skmoe.stacking import GatedStackingRegressor


def named(models):
    return [(f"model {k}", model) for k, model in enumerate(models)]


def stack_of(*models, kind=GatedStackingRegressor, **options):
    return kind(named(models), **options)
