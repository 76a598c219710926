"""Fifty digits of pi, and a zero of the zeta function."""

import mpmath

mpmath.mp.dps = 50
assert str(mpmath.pi).startswith("3.14159265358979323846264338327950288419716939937")
assert abs(mpmath.zetazero(1).imag - mpmath.mpf("14.134725141734693790")) < 1e-15
print(f"mpmath {mpmath.__version__}: 50 digits")
