"""What `ros2 launch FILE argument:=value ...` does, where there is no ros2 command."""

import os
import sys

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource

os.setpgrp()  # as a shell does with every job: Ctrl-C reaches the whole group
file, *arguments = sys.argv[1:]
pairs = [tuple(argument.split(":=", 1)) for argument in arguments]
service = LaunchService(argv=arguments)
included = IncludeLaunchDescription(AnyLaunchDescriptionSource(file), launch_arguments=pairs)
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
