"""Fixed maps against dense products of numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from mimctl.grid.linear import LinearMap

RNG = np.random.default_rng(7)


def random_map(rows: int, columns: int, density: float, *, whole: bool) -> sparse.csr_array:
    matrix = sparse.random_array((rows, columns), density=density, rng=RNG).tocsr()
    return matrix if whole else matrix * (1 + 2j)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("rows", "columns", "density"), [(5, 4, 1.0), (66, 60, 0.03), (30, 3, 0.01), (300, 200, 0.2)])
def test_like_the_dense_product(rows: int, columns: int, density: float, whole: bool) -> None:
    """With rows without an entry, and beyond the size where scipy does it."""
    matrix = random_map(rows, columns, density, whole=whole)
    vector = RNG.standard_normal(columns) + 1j * RNG.standard_normal(columns)
    np.testing.assert_allclose(LinearMap(matrix) @ vector, matrix.toarray() @ vector, atol=1e-12)


def test_entries_named_twice_are_added() -> None:
    matrix = sparse.coo_array(([1.0, 2.0, 5.0], ([0, 0, 2], [1, 1, 0])), shape=(3, 2))
    assert (LinearMap(matrix) @ np.array([10.0, 1.0])).tolist() == [3.0, 0.0, 50.0]


@pytest.mark.parametrize("shape", [(0, 4), (3, 4), (3, 0)])
def test_nothing_gives_nothing(shape: tuple[int, int]) -> None:
    assert (LinearMap(sparse.csr_array(shape)) @ np.ones(shape[1])).tolist() == [0.0] * shape[0]


def test_the_matrix_may_change_afterwards() -> None:
    matrix = sparse.csr_array(np.eye(2))
    fixed = LinearMap(matrix)
    matrix.data[:] = 7.0
    assert (fixed @ np.ones(2)).tolist() == [1.0, 1.0]
