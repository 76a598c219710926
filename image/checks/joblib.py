"""Run work in two processes, and keep a result on disk."""

import math

import joblib

results = joblib.Parallel(n_jobs=2)(joblib.delayed(math.factorial)(n) for n in range(8))
assert results == [math.factorial(n) for n in range(8)]
memory = joblib.Memory("cache", verbose=0)
assert memory.cache(math.sqrt)(16) == 4
print(f"joblib {joblib.__version__}: two processes and a cache")
