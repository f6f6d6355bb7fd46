"""Unsupervised music clustering with variational autoencoders, as pure functions in JAX and Flax.

Data flows one way: preprocess -> store -> fusion -> models + train -> checkpoint -> cluster -> metrics -> report.
"""

__version__ = "0.1.0"
