"""Speed against named peers, one command each, measured in the same run; never part of the tests."""
