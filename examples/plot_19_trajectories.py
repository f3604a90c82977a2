"""
Which people follow the same course over time?
==============================================

Who goes on seeing a doctor often? Group-based trajectory models divide people into groups, each
with its own course over time. `trajectories` of `skmoe.recipes` makes one: polynomials of time in
the experts, and features of the people in the gate.
"""

import matplotlib.pyplot as plt
import pandas as pd

from skmoe.datasets import load_doctor_visits
from skmoe.inspection import TrajectoriesDisplay, average_effects
from skmoe.model_selection import n_experts_table
from skmoe.recipes import mixture_of, trajectories

# %%
# The RAND Health Insurance Experiment (1974 to 1982) counted visits to a doctor of 1584 people in
# five years. The time is their age: each person has a piece of five years of the course from birth
# to 65.

table = load_doctor_visits(as_frame=True).frame
person, visits = table["person"], table["visits"].rename("visits in a year")
start = table.groupby("person")["age"].transform("first")
X = pd.DataFrame({"age": start + table["year"] - 1, "female": table["female"]})

# %%
# **How many groups?** The table has what reports of trajectories need: criteria, entropy, and for
# each group its share, the mean probability of its people, and the odds of correct classification.
# BIC falls up to four groups, but two of the four overlap. The entropy is clearest for three.

groups = trajectories(1, "age", ["female"], family="negative_binomial", random_state=0)
numbers = n_experts_table(groups, X, visits, range(1, 5), units=person, init=None)
print(numbers)
print(numbers.to_frame("experts").loc[3].round(2))

# %%
# **The courses.** Half of the people see a doctor about three times a year, and a third hardly
# ever. An eighth do so about ten times: least often at 17, and from 45 on every month.

three = numbers.estimators[2]
three[-1].set_expert_names(["sometimes", "hardly ever", "often"])
TrajectoriesDisplay.from_estimator(three, X, visits, time="age", units=person)
plt.show()

# %%
# **Women** have 0.8 visits more than men, on average. By the model the whole difference is one of
# groups: they are more often in the group of many visits, and less often in that of hardly any.

inference = mixture_of(three).inference(X, visits, units=person)
print(average_effects(three, X, features="female", inference=inference))
print(average_effects(three, X, features="female", inference=inference, what="gate"))
