"""How right the depth of given weights is, on data with true depth: one report."""
