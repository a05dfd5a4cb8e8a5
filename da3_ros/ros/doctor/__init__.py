"""Checks of a running graph or a bag, and how to mend what they find."""
