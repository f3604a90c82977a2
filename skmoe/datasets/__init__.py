"""Five small real tables: a panel, a series, a trial, a portfolio and a survey.

They are files of the package, of the sizes of textbooks, with licences that allow to pass them on
(`LICENCES.md` beside this module). Loaders have the form of those of scikit-learn. Columns that are
no features have attributes of their own, most by the name of the argument of `fit` that takes them.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from inspect import getdoc
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skmoe._optional import import_pandas

__all__ = [
    "load_doctor_visits",
    "load_health_survey",
    "load_hiv_trial",
    "load_property_fund",
    "load_us_economy",
]


def _load(
    loader: Callable[..., Any],
    target: str | list[str],
    apart: Mapping[str, str],
    return_X_y: bool,
    as_frame: bool,
) -> Any:
    """The table of a loader; `apart` has columns that are no features, by attribute."""
    path = Path(__file__).parent / "tables" / f"{loader.__name__.removeprefix('load_')}.csv.gz"
    with gzip.open(path, "rt", encoding="ascii") as file:
        names = file.readline().strip().split(",")
        columns: Any = dict(zip(names, np.loadtxt(file, delimiter=",").T, strict=True))
    if as_frame:
        columns = import_pandas(f"{loader.__name__}(as_frame=True)").read_csv(path)

    def select(chosen: str | list[str]) -> Any:
        if as_frame or isinstance(chosen, str):
            return columns[chosen]
        return np.column_stack([columns[name] for name in chosen])

    target_names = [target] if isinstance(target, str) else target
    features = [name for name in names if name not in {*target_names, *apart.values()}]
    data, y = select(features), select(target)
    if return_X_y:
        return data, y
    return Bunch(
        data=data,
        target=y,
        frame=columns if as_frame else None,
        feature_names=features,
        target_names=target_names,
        DESCR=getdoc(loader) or "",
        filename=str(path),
        **{attribute: select(column) for attribute, column in apart.items()},
    )


def load_doctor_visits(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Visits to a doctor of 1584 people in five years: a panel of counts.

    The RAND Health Insurance Experiment assigned families by lot to insurances in which they paid
    a part of each bill. The table has the people who took part for five years.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of the Bunch.
    as_frame : bool, default=False
        Frames and series of pandas in place of arrays, which needs the extra ``frames``.

    Returns
    -------
    Bunch, or (data, target)
        ``target`` has the 7920 values of ``visits``, the visits to a doctor in the year. ``data``
        has ten features: ``copayment`` (percent of a bill), ``individual_deductible`` (1: a plan
        with a limit for each person), ``age`` in that year, ``female`` and ``black``. Of the family
        it has ``education`` (years, of who decides) and ``income`` (dollars of the time). The state
        before the experiment is in ``diseases`` (chronic), ``limited`` (physically) and ``health``
        (index, 0 to 100), where the source imputed what was missing. ``units`` is the person,
        ``time`` the year of the experiment, 1 to 5, and ``admissions`` another outcome, stays in
        hospital. ``frame``, ``feature_names``, ``target_names``, ``filename`` and ``DESCR``, this
        text, are those of scikit-learn's loaders.

    Raises
    ------
    ImportError
        If ``as_frame=True`` and pandas is not installed.

    Notes
    -----
    Source: `statsmodels.datasets.randhie`, file `src/randhie.csv`, from Cameron and Trivedi
    (2005), *Microeconometrics*; collected by the RAND Corporation, 1974 to 1982 (Newhouse 1993,
    *Free for All?*). Licence: public domain.

    Examples
    --------
    >>> from skmoe.datasets import load_doctor_visits
    >>> visits = load_doctor_visits()
    >>> visits.data.shape, int(visits.target.sum()), len(set(visits.units))
    ((7920, 10), 22989, 1584)
    """
    apart = {"units": "person", "time": "year", "admissions": "admissions"}
    return _load(load_doctor_visits, "visits", apart, return_X_y, as_frame)


def load_us_economy(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """The economy of the United States in 203 quarters: a series with booms and recessions.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of the Bunch.
    as_frame : bool, default=False
        Frames and series of pandas in place of arrays, which needs the extra ``frames``.

    Returns
    -------
    Bunch, or (data, target)
        ``target`` is ``unemployment``, in percent, from 1959 to the third quarter of 2009. ``data``
        has eleven features: ``gdp`` (gross domestic product), ``consumption``, ``investment``,
        ``government`` (federal) and ``disposable_income``, all in thousand million dollars of 2005
        a year; ``cpi`` (consumer prices, 1982 to 1984 are 100), ``m1`` (money), ``bill_rate`` (of
        treasury bills, percent), ``population`` (millions), ``inflation`` (percent a year) and
        ``real_rate``. ``time`` is the year, with the quarter as a fraction. ``frame``,
        ``feature_names``, ``target_names``, ``filename`` and ``DESCR``, this text, are those of
        scikit-learn's loaders.

    Raises
    ------
    ImportError
        If ``as_frame=True`` and pandas is not installed.

    Notes
    -----
    Source: `statsmodels.datasets.macrodata`, by S. Seabold from the Federal Reserve Bank of
    St. Louis and the Bureau of Labor Statistics (2009). Licence: public domain.

    Examples
    --------
    >>> from skmoe.datasets import load_us_economy
    >>> economy = load_us_economy()
    >>> economy.data.shape, float(economy.target.max())
    ((203, 11), 10.7)
    """
    return _load(load_us_economy, "unemployment", {"time": "time"}, return_X_y, as_frame)


def load_hiv_trial(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Four treatments of 2139 patients with HIV: a randomised trial with times to an event.

    The AIDS Clinical Trials Group Study 175 compared zidovudine alone with didanosine and with
    two combinations. The event is a fall of CD4 cells by half, AIDS or death.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of the Bunch.
    as_frame : bool, default=False
        Frames and series of pandas in place of arrays, which needs the extra ``frames``.

    Returns
    -------
    Bunch, or (data, target)
        ``target`` has two columns, ``days`` until the event or the end of the observation and
        ``event`` (1: seen), for `skmoe.data.right_censored`. ``data`` has 13 features:
        ``treated`` (0: zidovudine alone), and before the treatment ``age`` (years), ``weight``
        (kilograms), ``male``, ``nonwhite``, ``hemophilia``, ``homosexual``, ``drugs``
        (injected), ``karnofsky`` (score, 0 to 100), ``symptoms``, ``days_treated_before``, and the
        cells ``cd4`` and ``cd8`` per cubic millimetre. ``arm`` is 0 for zidovudine, 1 with
        didanosine, 2 with zalcitabine and 3 for didanosine alone; ``cd4_week_20`` an outcome after
        20 weeks. ``frame``, ``feature_names``, ``target_names``, ``filename`` and ``DESCR``, this
        text, are those of scikit-learn's loaders.

    Raises
    ------
    ImportError
        If ``as_frame=True`` and pandas is not installed.

    Notes
    -----
    Source: Hammer et al. (1996), *New England Journal of Medicine* 335, 1081-1090; number 890 of
    the UCI Machine Learning Repository, from the copy in lifelines. Licence: CC BY 4.0 (UCI), MIT
    (lifelines). Ten columns are left out, the others renamed.

    Examples
    --------
    >>> from skmoe.data import right_censored
    >>> from skmoe.datasets import load_hiv_trial
    >>> X, y = load_hiv_trial(return_X_y=True)
    >>> X.shape, right_censored(*y.T).shape, int(y[:, 1].sum())
    ((2139, 13), (2139,), 521)
    """
    apart = {"arm": "arm", "cd4_week_20": "cd4_week_20"}
    return _load(load_hiv_trial, ["days", "event"], apart, return_X_y, as_frame)


def load_property_fund(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Claims of 5639 policy years of a property fund: an insurance portfolio with exposure.

    The Local Government Property Insurance Fund insures buildings of towns, counties and schools
    of Wisconsin, and what is in them.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of the Bunch.
    as_frame : bool, default=False
        Frames and series of pandas in place of arrays, which needs the extra ``frames``.

    Returns
    -------
    Bunch, or (data, target)
        ``target`` is ``claims``, their number in the year. ``data`` has eleven features:
        ``deductible`` (dollars), ``fire_class`` (1: below 5, which is well protected) and
        ``no_claim_credit`` (1: no claim in two years). The owner is a ``city``, ``county``,
        ``school``, ``town`` or ``other``, and else a village. Smoke alarms have a credit of 5, 10
        or 15 percent, ``alarm_5``, ``alarm_10`` and ``alarm_15``. ``exposure`` is the amount
        insured in dollars, ``loss`` the sum of the claims in dollars, ``units`` the policy and
        ``time`` the year, 2006 to 2010. ``frame`` has the names ``coverage``, ``policy`` and
        ``year`` for exposure, units and time. ``feature_names``, ``target_names``, ``filename``
        and ``DESCR``, this text, are those of scikit-learn's loaders.

    Raises
    ------
    ImportError
        If ``as_frame=True`` and pandas is not installed.

    Notes
    -----
    Source: *Loss Data Analytics*, an open text by the actuarial community, file `Insample.csv` of
    https://github.com/OpenActTexts/LDAVer2; Frees, Lee and Yang (2016), *Risks* 4(1), 4. Licence:
    CC0 1.0 (the repository) and CC BY 4.0 (the text). Columns that follow from others are left
    out.

    Examples
    --------
    >>> from skmoe.datasets import load_property_fund
    >>> fund = load_property_fund()
    >>> fund.data.shape, int(fund.target.sum()), f"{fund.exposure.mean():.3g} dollars"
    ((5639, 11), 6255, '3.73e+07 dollars')
    """
    apart = {"exposure": "coverage", "loss": "loss", "units": "policy", "time": "year"}
    return _load(load_property_fund, "claims", apart, return_X_y, as_frame)


def load_health_survey(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Cholesterol of 7794 adults of the United States: a survey with weights, strata and clusters.

    The National Health and Nutrition Examination Survey of 2017 to March 2020 examined a sample
    of counties, households and people. The table has all adults of 20 years and older with a value
    of cholesterol and of the body mass index.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of the Bunch.
    as_frame : bool, default=False
        Frames and series of pandas in place of arrays, which needs the extra ``frames``.

    Returns
    -------
    Bunch, or (data, target)
        ``target`` is the total ``cholesterol`` of the blood in mg/dL. ``data`` has three features:
        ``age`` in years (80 for older people, too), ``female``, and ``bmi``, the body mass index in
        kg/m². ``sample_weight`` is the number of people for whom a row stands, ``strata`` and
        ``cluster`` are those of the sample; the numbers of clusters begin with 1 in each stratum.
        ``medicine`` is 1 for people who take a medicine against cholesterol. ``frame`` (with
        ``weight`` and ``stratum``), ``feature_names``, ``target_names``, ``filename`` and
        ``DESCR``, this text, are those of scikit-learn's loaders.

    Raises
    ------
    ImportError
        If ``as_frame=True`` and pandas is not installed.

    Notes
    -----
    Source: National Center for Health Statistics, NHANES 2017-March 2020 pre-pandemic, files
    P_DEMO, P_BMX, P_BPQ and P_TCHOL, weights WTMECPRP rounded to people. Licence: public domain,
    a work of the government of the United States. By its law the data are for statistics only;
    nobody may try to find out who the people are.

    Examples
    --------
    >>> from skmoe.datasets import load_health_survey
    >>> survey = load_health_survey()
    >>> survey.data.shape, f"{survey.sample_weight.sum():.3g} people"
    ((7794, 3), '2.24e+08 people')
    """
    apart = {"sample_weight": "weight", "strata": "stratum", "cluster": "cluster"}
    apart["medicine"] = "medicine"
    return _load(load_health_survey, "cholesterol", apart, return_X_y, as_frame)
