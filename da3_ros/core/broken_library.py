"""The error of a library that cannot work here."""


class BrokenLibrary(ImportError):
    """A library that cannot work beside the others; says in one sentence what to do about it."""
