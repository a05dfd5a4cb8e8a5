"""Prints the parameters of da3_ros/core/config.py as config/da3.yaml or as the table
of docs/parameters.md.

python -m da3_ros.core.print_parameters yaml > config/da3.yaml
python -m da3_ros.core.print_parameters table
"""

import json
import sys
import textwrap
from collections.abc import Iterator

from da3_ros.core.config import Parameter, parameters

HEADER = """\
# The parameters of da3_node with their defaults, printed by da3_ros.core.print_parameters.
# Copy this file, keep the lines that you change, and give it to the launch file:
#   ros2 launch da3_ros da3.launch.py params_file:=my_robot.yaml
# "live" parameters may change while the node is active.
/**:
  ros__parameters:
"""


def yaml_lines() -> Iterator[str]:
    """The parameter file below its header: each parameter with its meaning above it."""
    block = ""
    for parameter in parameters():
        prefix, _, name = parameter.name.rpartition(".")
        if prefix and prefix != block:
            yield f"\n    {prefix}:"
        block = prefix
        indent = " " * (6 if prefix else 4)
        facts = allowed(parameter)
        comment = f"{parameter.meaning} ({facts})" if facts else parameter.meaning
        if not prefix:
            yield ""
        start = f"{indent}# "
        yield textwrap.fill(comment, 98, initial_indent=start, subsequent_indent=start)
        yield f"{indent}{name}: {as_yaml(parameter.default)}"


def as_yaml(value: object) -> str:
    """A default as YAML: its JSON is YAML too, in which no string reads as a number."""
    return json.dumps(value, ensure_ascii=False)


def allowed(parameter: Parameter) -> str:
    """`px, 0 to 4032, live`, or the choices."""
    facts = [parameter.unit] if parameter.unit else []
    if parameter.low is not None and parameter.high is not None:
        facts.append(f"{number(parameter.low)} to {number(parameter.high)}")
    if parameter.choices:
        facts.append(" | ".join(parameter.choices))
    if parameter.live:
        facts.append("live")
    if parameter.at_start:
        facts.append("set at start only")
    return ", ".join(facts)


def number(value: float) -> str:
    """Without digits that say nothing."""
    return f"{value:.10g}"


def table_lines() -> Iterator[str]:
    """A Markdown table, a row for each parameter."""
    yield "| parameter | default | unit, bounds or choices | meaning |"
    yield "|---|---|---|---|"
    for parameter in parameters():
        facts = allowed(parameter).replace("|", "\\|")
        default = as_yaml(parameter.default)
        yield f"| `{parameter.name}` | `{default}` | {facts} | {parameter.meaning} |"


def main() -> None:
    """Print what the command line names."""
    if sys.argv[1:] == ["yaml"]:
        print(HEADER + "\n".join(yaml_lines()).lstrip("\n"))
    elif sys.argv[1:] == ["table"]:
        print("\n".join(table_lines()))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
