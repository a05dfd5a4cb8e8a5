# The commands of pyproject.toml, where `ros2 run` and `ros2 launch` look for them, each started by
# the interpreter that CMake has found: an active virtual environment's comes first.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
configure_file(
  "${CMAKE_CURRENT_LIST_DIR}/../scripts/command.in" "${CMAKE_CURRENT_BINARY_DIR}/command" @ONLY)
foreach(command IN ITEMS da3 da3_demo da3_doctor da3_node da3_play da3_process da3_view)
  install(PROGRAMS "${CMAKE_CURRENT_BINARY_DIR}/command"
    DESTINATION lib/${PROJECT_NAME} RENAME ${command})
endforeach()
