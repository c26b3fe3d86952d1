"""Computes a sum, so that the image is known to work."""

import cntk

total = cntk.reduce_sum(cntk.constant([1.0, 2.0, 3.0])).eval()
assert total == 6.0, total
print("CNTK", cntk.__version__, "works")
