"""Several machines: batches of files go to the workers of a scheduler of Dask, and what was made of them comes back."""
