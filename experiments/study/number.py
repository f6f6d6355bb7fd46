"""How many clusters the songs themselves suggest, before any model is trained: by their features alone."""

import numpy as np
from sklearn.decomposition import PCA

from experiments.study.inputs import Inputs
from musiclust.metrics.evidence import rows_to_test
from musiclust.metrics.nulls import draw_in_turn
from musiclust.metrics.number_of_clusters import Choice, choose_k

# Clusters that are made where no number is better than one: enough to find one's way in a collection.
SHELVES = 8
_COMPONENTS = 32


def suggest_number(inputs: Inputs) -> Choice:
    """Chooses k by the features that the model is given, or their 32 first principal components.

    Both kinds of surrogates take turns, so that the clusters have to exceed either. The model has no part in it: every
    row of a table has the same k.
    """
    flat = inputs.columns.reshape(len(inputs.columns), -1)
    group = inputs.tracks.group
    rows = rows_to_test(group)
    z = flat[rows].astype(np.float64)
    if z.shape[1] > _COMPONENTS:
        z = PCA(min(_COMPONENTS, *z.shape), random_state=0).fit_transform(z)
    return choose_k(z, surrogate=draw_in_turn(z, group=group[rows]), group=group[rows])
