"""The demo's bag, its listener and its pictures."""
