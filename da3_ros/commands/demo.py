"""da3_demo: a bag is replayed into a real node, and what comes out is shown."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
from pathlib import Path

from da3_ros.core.child_process import end_with
from da3_ros.core.exit_codes import INTERRUPTED
from da3_ros.net.model_folder import MODELS_FOLDER, WEIGHTS
from da3_ros.ros.demo.processes import DemoError
from da3_ros.ros.demo.run_demo import DemoOptions, run_demo
from da3_ros.ros.topics.topic_error import TopicError
from da3_ros.ros.transport import keep_to_this_machine, use_large_message_profile


def main() -> int:
    """Entry point of da3_demo. Returns the exit code: 0 when something was published."""
    options = parse_arguments(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end_with(os.getppid())
    use_large_message_profile()
    # A graph of its own: a robot on the same network must not hear the replay.
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 100)))
    keep_to_this_machine()
    try:
        run_demo(options)
    except (TopicError, DemoError) as error:
        print(f"da3_demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return INTERRUPTED
    return 0


def parse_arguments(arguments: list[str]) -> DemoOptions:
    """Command line of da3_demo."""
    trained = (MODELS_FOLDER / "da3-demo" / WEIGHTS).is_file()
    parser = argparse.ArgumentParser("da3_demo", description=__doc__.splitlines()[0])
    parser.add_argument("bag", nargs="?", help="rosbag2 to replay; default: a synthetic room")
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="folder of the results (%(default)s)"
    )
    parser.add_argument(
        "--model",
        default="da3-demo" if trained else "da3-small",
        help="parameter model.name: repository, folder or preset (%(default)s)",
    )
    parser.add_argument(
        "--process-res",
        type=int,
        help="parameter model.process_res; default: 252, da3-demo its own",
    )
    parser.add_argument(
        "--rate",
        type=float,
        help="times faster than recorded; default: 0.15, with da3-demo 0.5",
    )
    parser.add_argument(
        "--frames", type=int, default=60, help="images of the synthetic room (%(default)s)"
    )
    parser.add_argument("--view", action="store_true", help="show it live in the browser, too")
    options = parser.parse_args(arguments)
    options.bag = Path(options.bag) if options.bag else None
    # For processors; the built-in model is small by itself.
    is_small = options.model == "da3-demo"
    if options.process_res is None:
        options.process_res = 0 if is_small else 252
    if options.rate is None:
        options.rate = 0.5 if is_small else 0.15
    return DemoOptions(**vars(options))


if __name__ == "__main__":
    sys.exit(main())
