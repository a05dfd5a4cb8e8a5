"""Messages as the other side of the wire sees them."""

from rclpy.serialization import deserialize_message, serialize_message


def sent(msg):
    """Serialised and read again."""
    return deserialize_message(serialize_message(msg), type(msg))
