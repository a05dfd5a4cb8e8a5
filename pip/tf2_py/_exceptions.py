"""What tf2_py raises."""


class TransformException(Exception):
    """Base of the exceptions of this module."""


class ConnectivityException(TransformException):
    """The two frames are in different trees."""


class LookupException(TransformException):
    """A frame that nobody has named, or transforms in a circle."""


class ExtrapolationException(TransformException):
    """There are transforms, but not at that time."""


class InvalidArgumentException(TransformException):
    """A name that no frame can have."""


class TimeoutException(TransformException):
    """Not raised here; tf2_ros raises it."""
