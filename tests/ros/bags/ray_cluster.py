"""A local Ray cluster of two workers, until its input is closed."""

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray  # noqa: E402

context = ray.init("local", num_cpus=2, include_dashboard=False)
print(f"address {context.address_info['address']}", flush=True)
sys.stdin.read()
ray.shutdown()
