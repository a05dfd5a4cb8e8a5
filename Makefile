# make demo | test | bench | soak | parity | eval-demo | clean: each sets up .venv by itself, once.

PYTHON ?= python3
BAG ?=
ARGS ?=

BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
COMPILED := $(wildcard da3_ros/net/*.cpp msg/*.msg srv/*.srv pip/*.cmake pip/*/*.py $(foreach f,* */*,pip/tf2_msgs/$(f)))

# The environment is complete in itself: a sourced ROS installation would break it.
unexport PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

.PHONY: help demo test bench soak parity eval-demo clean

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

demo: .venv/built  ## replay a bag into a real node: depth, cloud, summary; BAG=path takes yours
	$(BIN)/da3_demo $(BAG)

test: .venv/built .venv/test-tools  ## all tests; ARGS="-k window" goes to pytest
	$(BIN)/python -m pytest $(ARGS)

bench: .venv/built .venv/test-tools  ## speed and memory
	$(BIN)/python -m tools.bench $(ARGS)

soak: .venv/built .venv/test-tools  ## 30 minutes of a looped bag: counters, memory, jumps; ARGS="--minutes 2"
	$(BIN)/python -m tools.soak $(ARGS)

parity: .venv/built .venv/test-tools  ## every preset at true size against the published network
	$(BIN)/python -m tools.parity $(ARGS)

eval-demo: .venv/built .venv/test-tools  ## accuracy of the shipped model
	$(BIN)/python -m tools.training.eval_demo $(ARGS)

clean:  ## remove what make made
	rm -rf .venv build dist out *.egg-info

.venv/created:
	@[ "$$(uname -sm)" = "Linux x86_64" ] || { echo "The ROS wheels exist for Linux on x86_64 only;" \
	  "elsewhere build da3_ros with colcon in a ROS installation (README)."; exit 1; }
	@for c in $${CXX:-c++ g++ clang++}; do command -v $$c >/dev/null && exit; done; \
	  echo "da3_ros compiles its ROS messages and found no C++ compiler: install one" \
	  "(Debian, Ubuntu: apt install g++), or name yours in CXX."; exit 1
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "da3_ros needs" \
	  "Python 3.10 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up .venv: a few minutes, once."
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/requirements: .venv/created requirements.txt requirements-ros.txt
	@$(PIP_INSTALL) -r requirements.txt -r requirements-ros.txt
	@touch $@

.venv/built: .venv/requirements setup.py pyproject.toml CMakeLists.txt package.xml $(COMPILED)
	@echo "Compiling the ROS messages and attention."
	@$(PIP_INSTALL) --no-build-isolation --no-deps -e .
	@touch $@

# The published network asks for numpy 1 and an older Python; its code needs neither. It lives in
# a folder of its own, because its command is called da3, too.
.venv/test-tools: .venv/requirements requirements-test.txt
	@$(PIP_INSTALL) -r requirements-test.txt -r requirements.txt
	@$(PIP_INSTALL) --no-deps --ignore-requires-python --upgrade --target .venv/published \
	  depth-anything-3==0.1.1
	@echo "$(CURDIR)/.venv/published" > \
	  "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/published.pth"
	@touch $@
