"""Solve linear equations, which is OpenBLAS at work."""

import numpy as np

matrix = np.random.default_rng(1).random((300, 300))
solution = np.linalg.solve(matrix, matrix @ np.arange(300))
assert np.allclose(solution, np.arange(300)), "wrong solution"
print(f"numpy {np.__version__}: 300 linear equations solved")
