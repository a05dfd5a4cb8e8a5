# Lets CMake build against the ROS wheels of a Python environment. Pass it as
# CMAKE_PROJECT_INCLUDE; it then runs once in every project.

find_package(Python3 REQUIRED COMPONENTS Interpreter)

# The wheels' prefix: a virtual environment, or pip's overlay in an isolated build.
execute_process(
  COMMAND "${Python3_EXECUTABLE}" -c
    "import pathlib, ament_package; print(pathlib.Path(ament_package.__file__).parents[4])"
  OUTPUT_VARIABLE wheels_prefix
  OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY
)
set(ENV{AMENT_PREFIX_PATH} "${wheels_prefix}")  # where the typesupport packages are looked up
list(PREPEND CMAKE_PREFIX_PATH "${wheels_prefix}")

# The targets exported by the wheels name include folders of the machine that built them.
function(drop_missing_include_directories)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT directories)
      continue()
    endif()
    set(found)
    foreach(directory IN LISTS directories)
      if(directory MATCHES "\\$<" OR EXISTS "${directory}")
        list(APPEND found "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${found}")
  endforeach()
endfunction()
cmake_language(DEFER CALL drop_missing_include_directories)

# CMake refuses to export a target with numpy's headers when the environment lies inside the
# source folder (.venv/). Nobody builds against what pip installs: keep them for the build.
function(export_no_numpy_headers)
  set(target ${PROJECT_NAME}__rosidl_generator_py)
  if(NOT TARGET ${target})
    return()
  endif()
  get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
  list(FILTER directories EXCLUDE REGEX "^[^$].*/numpy/")
  set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${directories}")
endfunction()
cmake_language(DEFER CALL export_no_numpy_headers)
