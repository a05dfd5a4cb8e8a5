"""How the node is doing: warnings, errors, rates, clocks."""
