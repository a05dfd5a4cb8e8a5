"""The error of everything that looks for topics."""


class TopicError(RuntimeError):
    """A bag or a graph that does not hold what is needed; one sentence."""
