"""Topics, types and transforms of a bag or a running graph: which ones a camera needs."""
