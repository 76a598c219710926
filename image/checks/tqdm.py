"""Show progress, of a pandas operation too."""

import pandas as pd
import tqdm

tqdm.tqdm.pandas(desc="rows")
result = pd.Series(range(100)).progress_apply(lambda value: value + 1)
assert result.sum() == 5050
assert sum(tqdm.tqdm(range(10))) == 45
print(f"tqdm {tqdm.__version__}: progress bars")
