"""Solve, integrate and print."""

import sympy as sp

x = sp.symbols("x")
assert sp.solve(x**2 - 5 * x + 6) == [2, 3]
assert sp.integrate(sp.exp(-(x**2)), (x, -sp.oo, sp.oo)) == sp.sqrt(sp.pi)
assert sp.latex(sp.sqrt(x) / 2) == r"\frac{\sqrt{x}}{2}"
print(f"sympy {sp.__version__}: an equation and an integral")
