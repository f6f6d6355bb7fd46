"""What can be said of a partition and of the latent space it was made in, in NumPy and scikit-learn.

partition: the scores of the literature, with coverage and chance levels. reference: one fixed space and a null for
silhouettes, so that partitions of different latent spaces can be compared. latent: how much of it a posterior uses.
stability: whether clusters come back, and the consensus of many partitions.
probes: which classes can be told at all. duplicates: tracks that are there twice.
disentangle: whether a latent dimension stands for a factor of the music, or comes back with another seed.
intervals: over seeds, which is another training, and over songs, which is another collection.
number_of_clusters: how many there are, when nobody has told.
"""
