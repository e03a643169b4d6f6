"""Fixed matrices that are applied to a vector in every cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

#: entries up to which the products are summed here: above, the loops of scipy are worth the way to them
_FEW = 5000


class LinearMap:
    """A sparse matrix of a small zone: `map @ vector` without what scipy does around its few hundred multiplications.

    Never dense: a dense product reads many times the memory, and above some size a BLAS hands it to threads that wait for each
    other for milliseconds where the processor is busy.
    """

    def __init__(self, matrix: sparse.sparray) -> None:
        rows = sparse.csr_array(matrix, copy=True)
        self.shape: tuple[int, int] = rows.shape
        self._matrix = rows if rows.nnz > _FEW else None
        self._data, self._columns = rows.data, rows.indices.astype(np.intp)
        filled = np.diff(rows.indptr) > 0
        self._starts = rows.indptr[:-1][filled].astype(np.intp)
        self._rows: npt.NDArray[np.intp] | None = None if filled.all() else np.flatnonzero(filled)

    def __matmul__(self, vector: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(m,) of a vector (n,)."""
        if self._matrix is not None:
            return np.asarray(self._matrix @ vector)
        terms = self._data * vector[self._columns]
        if self._rows is None:
            return np.add.reduceat(terms, self._starts)
        result = np.zeros(self.shape[0], dtype=terms.dtype)
        if len(self._rows):
            result[self._rows] = np.add.reduceat(terms, self._starts)
        return result
