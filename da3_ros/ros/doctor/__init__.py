"""Checks of a running graph or a bag, and how to fix what they find."""
