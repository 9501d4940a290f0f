"""Whether words look uniform, and whether two samples of words look alike. Errors of the first kind are stated."""

import numpy as np
from scipy.stats import chi2_contingency, chisquare, ks_2samp

FAILURE = 1e-6
"""How often a test of truly uniform (or equal) samples may fail, over all looks it takes."""


def uniform_p(words: np.ndarray) -> float:
    """χ² against 256 equal bins for each byte of a word; the smallest p, corrected for the number of bytes (Bonferroni).

    Uniform words fall below p with probability at most p.
    """
    lanes = _lanes(words)
    return min(1.0, len(lanes) * min(chisquare(np.bincount(lane, minlength=256)).pvalue for lane in lanes))


def same_p(one: np.ndarray, other: np.ndarray) -> float:
    """Two samples of words: χ² of each byte's table and Kolmogorov-Smirnov on the words; the smallest p, corrected."""
    found = [float(ks_2samp(one.ravel().astype(np.float64), other.ravel().astype(np.float64)).pvalue)]
    for lane, against in zip(_lanes(one), _lanes(other), strict=True):
        counts = np.stack([np.bincount(lane, minlength=256), np.bincount(against, minlength=256)])
        found.append(float(chi2_contingency(counts[:, counts.sum(axis=0) > 0]).pvalue))
    return min(1.0, len(found) * min(found))


def _lanes(words: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(words).reshape(-1, 1).view(np.uint8).T
