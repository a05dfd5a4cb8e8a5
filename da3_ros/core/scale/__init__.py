"""Metres: where the network's unit and the world meet."""
