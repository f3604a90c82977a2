"""Moved to `skmoe.data`."""

from skmoe._moved import names_of_new

__getattr__ = names_of_new(__name__)
