"""All that a GPU has to show, in one command of some minutes; see `python -m tools.gpu --help`."""
