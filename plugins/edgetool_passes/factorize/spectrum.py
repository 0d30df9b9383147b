"""What a weight's factors of every rank would lose.

The best factors in the least-squares sense keep the directions of the results that vary most. With the matrix `M`, the
second moments `C` of what it multiplies, and the eigenvectors `V` of `G = Mᵀ C M` in the order of their eigenvalues
`λ`, the factors of rank r are `M Vr` and `Vrᵀ`, and the share of the results that they lose is `Σ λ[r:] / Σ λ` (Eckart
and Young, 1936; the same optimum as truncating the whitened weight in X. Wang et al., "SVD-LLM", 2024, but without an
inverse). With `C = I`, where there is no data, this is the truncated singular value decomposition of the weight.

Some channels of some results are a hundred times larger than the others, and would take all the ranks. So channels are
measured in their own standard deviation to the power of `EVENNESS`: `G` becomes `D G D`, the factors `M D Vr` and
`Vrᵀ D⁻¹`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

EVENNESS = 0.5


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Directions of results, the most important first.

    Attributes:
        directions: float32 [columns, n], orthonormal.
        scale: float64 [columns]: the unit of each channel, `D`.
        losses: float64 [n + 1]: share of the results that factors of rank 0 to n lose.
    """

    directions: Array
    scale: Array
    losses: Array

    @property
    def most(self) -> int:
        """The largest rank that is worth anything."""
        return len(self.losses) - 1

    def factors(self, matrix: Array, rank: int) -> tuple[Array, Array]:
        """float32 [rows, rank] and [rank, columns], of which neither is much larger than the other.

        Args:
            matrix: float32 [rows, columns].
            rank: 1 to `most`.
        """
        import numpy as np

        kept = self.directions[:, :rank].astype(np.float64)
        first, second = matrix.astype(np.float64) @ (self.scale[:, None] * kept), kept.T / self.scale
        lengths = np.linalg.norm(first, axis=0) / np.maximum(np.linalg.norm(second, axis=1), 1e-30)
        even = np.sqrt(np.maximum(lengths, 1e-30))
        return (first / even).astype(np.float32), (second * even[:, None]).astype(np.float32)

    def kept(self, results: Array, rank: int) -> Array:
        """What factors of this rank leave of results: float64, as `results` [..., columns]."""
        import numpy as np

        kept = self.directions[:, :rank].astype(np.float64)
        left: Array = ((results * self.scale) @ kept) @ kept.T / self.scale
        return left


def of_weight(matrix: Array) -> Spectrum:
    """Without data: all that is multiplied is alike."""
    import numpy as np

    return of_inputs(matrix, np.ones(len(matrix)))


def of_inputs(matrix: Array, moments: Array) -> Spectrum:
    """With what is multiplied.

    Args:
        matrix: [rows, columns].
        moments: second moments of the rows: [rows, rows]; or [rows] where they do not vary together.
    """
    import numpy as np

    wide = matrix.astype(np.float64)
    weighted = wide * moments[:, None] if moments.ndim == 1 else moments @ wide
    rows, columns = wide.shape
    if columns <= rows:
        return of_results(wide.T @ weighted)
    scale = _scale((wide * weighted).sum(axis=0))
    root = (np.sqrt(moments)[:, None] * wide if moments.ndim == 1 else _root(moments) @ wide) * scale
    values, vectors = np.linalg.eigh(root @ root.T)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    directions = (root.T @ vectors) / np.sqrt(np.maximum(values, 1e-30))
    return Spectrum(directions.astype(np.float32), scale, _losses(values))


def of_results(moments: Array) -> Spectrum:
    """With the second moments of the results: [columns, columns]."""
    import numpy as np

    scale = _scale(np.diag(moments))
    values, vectors = np.linalg.eigh(moments * scale * scale[:, None])
    return Spectrum(vectors[:, ::-1].astype(np.float32), scale, _losses(np.maximum(values[::-1], 0)))


def _scale(squares: Array) -> Array:
    """The unit of each channel; one that never varies counts as the smallest that matters."""
    import numpy as np

    squares = np.maximum(squares, max(float(squares.max(initial=0)), 1e-30) * 1e-6)
    scale: Array = squares ** (-EVENNESS / 2)
    return np.asarray(scale / np.sqrt(float((scale**2).mean())))


def _root(moments: Array) -> Array:
    """The symmetric square root."""
    import numpy as np

    values, vectors = np.linalg.eigh(moments)
    root: Array = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def _losses(values: Array) -> Array:
    import numpy as np

    behind = np.append(np.cumsum(values[::-1])[::-1], 0.0)
    return np.asarray(behind / max(float(behind[0]), 1e-30))
