"""Parameter files of ROS, read without a graph."""

from __future__ import annotations

from pathlib import Path

from rclpy.parameter import Parameter, parameter_dict_from_yaml_file

from da3_ros.core.config import ConfigError

OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
"""Parameters of every node; none of ours."""


NODES = ["/**/da3", "da3"]
"""The node in any namespace, and in none."""


def read_parameter_file(path: str | Path) -> dict:
    """Dotted names and values that a ROS parameter file gives to the node.

    Raises `ConfigError` in one sentence.
    """
    try:
        messages = parameter_dict_from_yaml_file(str(path), use_wildcard=True, target_nodes=NODES)
    except OSError as error:
        raise ConfigError(f"cannot read the parameter file {path}: {error.strerror}") from error
    except (RuntimeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _no_parameter_file(path) from error
    values = {name: Parameter.from_parameter_msg(msg).value for name, msg in messages.items()}
    # rclpy reads an empty string as no value.
    return {n: "" if v is None else v for n, v in values.items() if not n.startswith(OF_ROS)}


def _no_parameter_file(path: str | Path) -> ConfigError:
    return ConfigError(
        f"{path} is not a ROS parameter file; it must look like '/**: {{ros__parameters: {{...}}}}'"
    )
