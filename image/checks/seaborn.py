"""Draw a statistical chart in seaborn's own theme, with a title that its fonts lack."""

import warnings

import numpy as np
import pandas as pd
import seaborn as sns

warnings.simplefilter("error")
sns.set_theme()
values = np.random.default_rng(0).normal(size=(60, 2))
data = pd.DataFrame(values, columns=["a", "b"]).assign(group=["x", "y"] * 30)
grid = sns.lmplot(data, x="a", y="b", hue="group")
grid.figure.suptitle("回归 📈")
grid.savefig("chart.png")
print(f"seaborn {sns.__version__}: a regression plot")
