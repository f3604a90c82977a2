"""Whether densities and probabilities of several distributions can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skmoe.families import Family


def check_one_measure(families: Sequence[Family]) -> None:
    """Densities cannot be compared with probabilities, except for those of atoms such as zero."""
    continuous = [family for family in families if family.is_continuous]
    discrete = [family for family in families if not family.is_continuous and not family.atoms]
    if continuous and discrete:
        raise ValueError(
            "family must be a list of distributions whose densities can be compared; "
            f'"{discrete[0].name}" has probabilities of values, and "{continuous[0].name}" has a '
            'density. Use families of one kind, to which "zero" may be added.'
        )


def measure_of_families(families: Iterable[Family]) -> str:
    """What distributions have: densities, or probabilities, or both, in words."""
    kinds = {family.is_continuous for family in families}
    if kinds == {True}:
        return "a density"
    if kinds == {False}:
        return "probabilities of values"
    atoms = sorted({atom for family in families for atom in family.atoms})
    values = ", ".join(f"{atom:g}" for atom in atoms)
    return f"a density and the probability of {values}"
