"""File formats that more than one room writes or reads."""
