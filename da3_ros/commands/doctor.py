"""da3_doctor: looks at a bag or a running graph, and says what is wrong and how to fix it."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

from da3_ros.core.config import Config, ConfigError, from_dict
from da3_ros.core.exit_codes import INTERRUPTED
from da3_ros.core.process_res import with_process_res
from da3_ros.net.model_folder import CheckpointError, trained_size
from da3_ros.ros.doctor.camera import check_camera, check_choice
from da3_ros.ros.doctor.findings import Finding, Verdict, error, format_table
from da3_ros.ros.doctor.graph import observe_graph
from da3_ros.ros.doctor.machine import check_machine
from da3_ros.ros.doctor.pictures import check_pictures
from da3_ros.ros.doctor.poses import check_poses
from da3_ros.ros.doctor.recording import observe_bag
from da3_ros.ros.doctor.whole_bag import check_files, check_frames
from da3_ros.ros.parameter_file import read_parameter_file
from da3_ros.ros.topics.topic_error import TopicError
from da3_ros.ros.topics.topic_options import add_topic_options, chosen_topics
from da3_ros.ros.transport import use_large_message_profile


def main() -> int:
    """Entry point of da3_doctor. Returns 0, or 1 when anything is an ERROR."""
    options = parse_arguments(sys.argv[1:])
    try:
        parameters = read_parameter_file(options.params) if options.params else {}
        if options.model:
            parameters["model.name"] = options.model
        config = from_dict(parameters)
        config = with_process_res(config, trained_size(config.model.name))
        findings = examine(options, config, parameters.get("pose.world_frame"))
    except ConfigError as problem:
        findings = [error("parameters", str(problem), "correct the parameter file")]
    except CheckpointError as problem:
        findings = [error("model", str(problem), "correct the config.json of the checkpoint")]
    except KeyboardInterrupt:
        return INTERRUPTED
    print(format_table(findings))
    return int(any(finding.verdict is Verdict.ERROR for finding in findings))


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line of da3_doctor."""
    parser = argparse.ArgumentParser("da3_doctor", description=__doc__)
    add = parser.add_argument
    add("bag", nargs="?", help="rosbag2 to look at; default: the running graph")
    add("--params", type=Path, metavar="FILE", help="parameter file of the node")
    add("--model", help="parameter model.name")
    add("--seconds", type=float, default=5.0, help="how long to listen (%(default)s)")
    add_topic_options(parser)
    options = parser.parse_args(arguments)
    if not 0 < options.seconds < math.inf:
        parser.error(f"--seconds is {options.seconds}, must be above 0, and a number")
    return options


def examine(options: argparse.Namespace, config: Config, world: str | None) -> list[Finding]:
    """All checks. world: pose.world_frame where the user has set it."""
    machine = check_machine(config)
    choice = chosen_topics(options, world or "")
    if config.pose.source == "odometry":
        choice = replace(choice, pose_source="odometry")
    findings: list[Finding] = []
    try:
        if options.bag:
            seen = observe_bag(options.bag, choice)
            findings = [*check_files(seen), check_frames(options.bag, choice, config)]
        else:
            use_large_message_profile()
            seen, findings = observe_graph(options.seconds, config, choice)
    except TopicError as problem:
        if options.bag:
            fix = "the bag must be whole and hold images with camera_info"
        else:
            fix = "start the camera with its camera_info; see ROS_DOMAIN_ID and the network"
        return [error("topics", str(problem), fix), *machine]
    camera = [*check_choice(seen), *check_camera(seen, config), check_pictures(seen, config)]
    return [*findings, *camera, *check_poses(seen, config, world), *machine]


if __name__ == "__main__":
    sys.exit(main())
