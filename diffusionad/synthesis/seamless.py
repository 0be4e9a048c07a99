"""Seamless blending by gradients: Perez et al., Poisson image editing, ACM Trans. Graphics 22 (2003), eqs. (4), (7).

A pasted piece keeps its texture, takes on the brightness and colour of its surroundings, and has no edge: its content
gives it away, not its border.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Offsets (down, right) to the neighbours of a pixel."""


def seamless_blend(
    normal: NDArray[np.float32], mask: NDArray[np.bool_], appearance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give the normal image, inside the mask, the gradients of the appearance.

    f = A + h inside the mask and N outside it, where h continues N - A from the border of the mask smoothly into it:

        sum over the neighbours q of p inside the image of (h_p - h_q) = 0    for p in M, with h_q = N_q - A_q outside M

    which is the discrete Poisson equation lap f = lap A, f = N on the border. Nothing is prescribed on
    the rim of the image. Values beyond [0, 1] are clipped.

    Args:
        normal: N, float32 in [0, 1], shape (H, W, 3).
        mask: M, bool, shape (H, W). A mask over the whole image has no border and returns A.
        appearance: A, float32 in [0, 1], shape (H, W, 3).

    Returns:
        f, float32 in [0, 1], shape (H, W, 3).
    """
    if mask.all() or not mask.any():
        return np.where(mask[..., None], appearance, normal)
    inside = _membrane(mask, (normal - appearance).astype(np.float64))
    sewn = normal.copy()
    sewn[mask] = np.clip(appearance[mask] + inside, 0, 1)
    return sewn


def _membrane(mask: NDArray[np.bool_], border: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread the values at the border of a mask smoothly into it: h of `seamless_blend`, shape (pixels, 3)."""
    inside = np.argwhere(mask)
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(len(inside))
    degree, known = np.zeros(len(inside)), np.zeros((len(inside), 3))
    rows, columns = [], []
    for step in STEPS:
        near = inside + step
        exists = ((near >= 0) & (near < mask.shape)).all(axis=1)
        y, x = near[exists].T
        here, there = np.flatnonzero(exists), number[y, x]
        degree[here] += 1
        is_unknown = there >= 0
        rows.append(here[is_unknown])
        columns.append(there[is_unknown])
        known[here[~is_unknown]] += border[y[~is_unknown], x[~is_unknown]]
    row, column = np.concatenate(rows), np.concatenate(columns)
    neighbours = sparse.csc_array((np.ones(len(row)), (row, column)), shape=(len(inside), len(inside)))
    laplacian = (sparse.diags_array(degree) - neighbours).tocsc()
    # Symmetric and positive definite: no pivoting, and an order that keeps the factors sparse.
    factors = splu(laplacian, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    return np.asarray(factors.solve(known))
