"""From results to messages."""
