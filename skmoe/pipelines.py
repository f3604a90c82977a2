"""Moved to `skmoe.recipes`."""

from skmoe._moved import names_of_new

__getattr__ = names_of_new(__name__)
