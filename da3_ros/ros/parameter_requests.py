"""rclpy's parameter services take any number of names: this one puts a bound on a request."""

from __future__ import annotations

from collections.abc import Callable

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)

from da3_ros.ros.bounds import MOST_PARAMETERS

LISTS = {
    DescribeParameters: "names",
    GetParameters: "names",
    GetParameterTypes: "names",
    ListParameters: "prefixes",
    SetParameters: "parameters",
    SetParametersAtomically: "parameters",
}
"""The parameter services, and what may be long in their requests."""


def bounded(kind: type, callback: Callable, say: Callable[[str], None]) -> Callable:
    """The callback of one of `LISTS` that refuses more than `MOST_PARAMETERS` at once.

    say: told why. Answers that have no place for words are empty, as for unknown names.
    """

    def answer(request, response):
        count = len(getattr(request, LISTS[kind]))
        if count <= MOST_PARAMETERS:
            return callback(request, response)
        sentence = f"{count:,} parameters in one request; ask for at most {MOST_PARAMETERS:,}"
        say(sentence)
        refusal = SetParametersResult(successful=False, reason=sentence)
        if kind is SetParameters:
            response.results = [refusal]
        elif kind is SetParametersAtomically:
            response.result = refusal
        return response

    return answer
