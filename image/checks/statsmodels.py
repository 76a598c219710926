"""Fit a regression given as a formula."""

import pandas as pd
import statsmodels
import statsmodels.formula.api as smf

data = pd.DataFrame({"x": range(20), "y": [3 + 2 * x + (-1) ** x * 0.1 for x in range(20)]})
fit = smf.ols("y ~ x", data).fit()
assert abs(fit.params["x"] - 2) < 0.01, fit.params
assert "R-squared" in str(fit.summary())
print(f"statsmodels {statsmodels.__version__}: ordinary least squares")
