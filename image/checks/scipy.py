"""Minimise a function, and run a t-test."""

import scipy
from scipy import optimize, stats

least = optimize.minimize(lambda x: (x[0] - 3) ** 2 + (x[1] + 1) ** 2, [0, 0])
assert abs(least.x[0] - 3) < 1e-4, least.x
assert abs(least.x[1] + 1) < 1e-4, least.x
test = stats.ttest_ind([1, 2, 3, 4], [11, 12, 13, 14])
assert test.pvalue < 0.001, test
print(f"scipy {scipy.__version__}: a minimum and a t-test")
