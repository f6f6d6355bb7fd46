"""Scripts that wire the rooms of musiclust together, one job each; run them as `python -m experiments.<name>`."""
