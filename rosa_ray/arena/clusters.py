"""Clusters of users by their interests when the first day begins; they stand in for clusters of stored states."""

import numpy as np

from rosa_ray.arrays import Floats

CLUSTERS = 8
NEAREST = 3
"""Clusters that a user belongs to."""


def clusters_of(heat_UC: Floats, seed: int) -> Floats:
    """How much each user belongs to each cluster, (U, `CLUSTERS`), rows summing to 1, the nearest ones alone above 0.

    Args:
        heat_UC: interest of each user in each category, >= 0.

    >>> clusters_of(np.repeat(np.eye(8), 3, axis=0), 1).max(axis=1).min() > 0.9
    np.True_
    """
    # A second of imports, for those who read clusters alone.
    from sklearn.cluster import KMeans

    share_UC = heat_UC / np.maximum(heat_UC.sum(axis=1, keepdims=True), 1e-9)
    count = min(CLUSTERS, len(np.unique(share_UC, axis=0)))
    means = KMeans(count, n_init=4, random_state=seed % 2**31).fit(share_UC)
    distance_UK = means.transform(share_UC)
    nearest = np.argsort(distance_UK, axis=1)[:, :NEAREST]
    # A softmax of distances over their typical size: who stands on a mean belongs to it alone.
    near = np.take_along_axis(distance_UK, nearest, axis=1)
    scale = max(float(np.median(near[:, 0])), 1e-3)
    weight = np.exp(-(near - near[:, :1]) / scale)
    weight_UK = np.zeros((len(heat_UC), CLUSTERS))
    np.put_along_axis(weight_UK, nearest, weight / weight.sum(axis=1, keepdims=True), axis=1)
    return weight_UK
