# Two commands matter: `make demo` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
# Other versions to test against, e.g. PINS='numpy==1.26.4 opencv-python-headless==4.6.0.66'. They
# stay until others are given; PINS= goes back to ours.
BIN := .venv/bin

.PHONY: setup demo test test-long lint docs lock clean

setup:
	@$(PYTHON) pip_underlay/bootstrap.py $(if $(filter undefined,$(origin PINS)),,--pins '$(PINS)')

demo: setup
	@$(BIN)/surgseg demo

# all kinds of tests, at most 15 minutes on two cores; a table of the slowest is at the end. Each
# file of tests runs as a whole in one of the processes.
test: setup lint
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# those that take minutes each: learning by heart, long runs
test-long: setup
	@$(BIN)/python -m pytest -m long

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@if [ -s .venv/.surgseg-pins ]; then \
	  echo "lint: without mypy, since the types of $$(cat .venv/.surgseg-pins) may differ"; \
	else $(BIN)/mypy; fi
	@$(BIN)/python -m pytest -q test/test_structure.py

# the tables of docs/topics.md, from the code
docs: setup
	@$(BIN)/python -m surgseg_ros.nodes.describe --write docs/topics.md

# versions of all third-party packages, from requirements.txt and the coherent set of ROS wheels
lock:
	@uv pip compile pip_underlay/requirements.txt -c pip_underlay/ros_wheels.txt --universal \
	  --python-version 3.11 --no-annotate --strip-extras --custom-compile-command 'make lock' \
	  -q -o pip_underlay/constraints.txt

clean:
	rm -rf .venv build install log out
