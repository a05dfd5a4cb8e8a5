"""What processes say when they end, beside 0, 1 and 2."""

INTERRUPTED = 130
"""After SIGINT, as of a shell."""

UNREAD = 141
"""As of a shell, where the reader of the output has ended, as `head` does."""
