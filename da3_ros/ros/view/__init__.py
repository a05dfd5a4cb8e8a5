"""The page in the browser: what a running node, a result bag or a file shows, seen live."""
