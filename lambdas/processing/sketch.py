"""How many different values a stream of hashes has, and how often they occur, in memory that does not grow.

A bottom-k sketch (Bar-Yossef et al. 2002): of all 64-bit hashes it keeps the k smallest. While there are fewer than k
it knows every value. After that the k-th smallest tells how densely hashes lie, so how many there are: the standard
error is 1 / sqrt(k - 2), 0.8 % for k = 16,384. What is kept is a fair sample of the values, and its counts are exact,
because a hash that was ever dropped is greater than all that stay.
"""

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


class Sketch:
    """The k smallest hashes of a stream, ascending, and how often each came."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.hashes: Hashes = np.empty(0, np.uint64)
        self.counts: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self.total = 0  # hashes taken in
        self.exact = True  # every hash is kept

    def add(self, hashes: Hashes) -> Hashes:
        """Take in a batch of evenly spread hashes; return those that may be kept, each once, ascending."""
        self.total += len(hashes)
        if not self.exact:
            hashes = hashes[hashes <= self.hashes[-1]]
        found, counts = np.unique(hashes, return_counts=True)
        places = np.searchsorted(self.hashes, found)
        known = np.zeros(len(found), bool)
        inside = places < len(self.hashes)
        known[inside] = self.hashes[places[inside]] == found[inside]
        self.counts[places[known]] += counts[known]
        if not known.all():
            self._insert(places[~known], found[~known], counts[~known])
        return found

    def _insert(self, places: npt.NDArray[np.int64], found: Hashes, counts: npt.NDArray[np.int64]) -> None:
        """Put new hashes before those at some places, and drop what is then beyond the k smallest."""
        size = len(self.hashes) + len(found)
        at = places + np.arange(len(found))
        others = np.ones(size, bool)
        others[at] = False
        merged, merged_counts = np.empty(size, np.uint64), np.empty(size, np.int64)
        merged[at], merged[others] = found, self.hashes
        merged_counts[at], merged_counts[others] = counts, self.counts
        if size > self.k:
            merged, merged_counts, self.exact = merged[: self.k].copy(), merged_counts[: self.k].copy(), False
        self.hashes, self.counts = merged, merged_counts

    def distinct(self) -> int:
        """Return how many different hashes came: exact, or an estimate when `exact` is false."""
        if self.exact:
            return len(self.hashes)
        if self.counts.sum() == self.k:  # nothing repeats in the sample: nor does it elsewhere, or hardly ever
            return self.total
        return min(self.total, round((self.k - 1) / (float(self.hashes[-1]) / 2.0**64)))

    def repeated(self) -> int:
        """Return how many hashes came that had come before: exact, or an estimate when `exact` is false."""
        if self.exact:
            return self.total - len(self.hashes)
        return round(self.total * (1 - self.k / float(self.counts.sum())))
