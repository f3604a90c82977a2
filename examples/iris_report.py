"""The report of the documentation: the widths of sepals of irises, whose kinds are not given.

Writes a page to the path given. Needs the extra `report`.
"""

import sys

from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import export_html


def main(path):
    iris = load_iris(as_frame=True).frame.rename(columns=lambda name: name.removesuffix(" (cm)"))
    X, y = iris[["sepal length", "petal length", "petal width"]], iris["sepal width"]
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    moe = MixtureOfExpertsRegressor("auto", expert_features=["sepal length"], random_state=0)
    moe.fit(X_train, y_train)
    title = "Sepals of irises: how their width depends on their length"
    held_out = {"X_held_out": X_test, "y_held_out": y_test}
    export_html(moe, X_train, y_train, path, title=title, **held_out)


if __name__ == "__main__":
    main(sys.argv[1])
