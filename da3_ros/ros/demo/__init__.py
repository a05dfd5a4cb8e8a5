"""The demo: what it runs, its bag, its listener and its pictures."""
