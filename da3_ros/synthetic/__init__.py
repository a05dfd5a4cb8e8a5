"""A world with exact geometry: ray-cast scenes for tests, the demo and training."""
