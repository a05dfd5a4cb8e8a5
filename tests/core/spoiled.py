"""Arrays with one wrong number."""

import numpy as np


def spoiled(array: np.ndarray, index, value) -> np.ndarray:
    """A copy with `value` at `index`."""
    array = array.copy()
    array[index] = value
    return array
