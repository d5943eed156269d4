# Two commands matter: `make demo` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
# Other versions to test against, e.g. PINS='numpy==1.26.4 opencv-python-headless==4.6.0.66'. They
# stay until others are given; PINS= goes back to ours.
BIN := .venv/bin

.PHONY: setup demo test test-long faults lint docs lock clean

setup:
	@$(PYTHON) pip_underlay/bootstrap.py $(if $(filter undefined,$(origin PINS)),,--pins '$(PINS)')

demo: setup
	@$(BIN)/surgseg demo

# all kinds of tests, 26 minutes on two cores; a table of the slowest is at the end. Each
# file of tests runs as a whole in one of the processes.
test: setup lint
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# those that take minutes each: learning by heart, long runs
test-long: setup
	@$(BIN)/python -m pytest -m long

# 10,200 files, mutated at random, are read: no crash, no traceback, nothing written outside
faults: setup
	@$(BIN)/python -m pytest -m long -s test/mutated_files

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

# versions of all third-party packages (constraints.txt), from requirements.txt and the coherent set
# of ROS wheels, and the hashes of their files (locked*.txt) but for torch and what its builds need
UNDERLAY := pip_underlay
COMPILE := uv pip compile -q --universal --no-annotate --strip-extras \
  --custom-compile-command 'make lock' --python-version
OF_TORCH = sed -nE 's/^(torch|triton|(cuda|nvidia)-[a-z0-9-]+)==.*/--no-emit-package \1/p'
lock:
	@$(COMPILE) 3.11 $(UNDERLAY)/requirements.txt -c $(UNDERLAY)/ros_wheels.txt \
	  -o $(UNDERLAY)/constraints.txt
	@$(COMPILE) 3.11 $(UNDERLAY)/requirements.txt -c $(UNDERLAY)/constraints.txt --generate-hashes \
	  $$($(OF_TORCH) $(UNDERLAY)/constraints.txt) -o $(UNDERLAY)/locked.txt
	@$(COMPILE) 3.11 --no-deps --generate-hashes $(UNDERLAY)/requirements-no-deps.txt \
	  -o $(UNDERLAY)/locked-no-deps.txt
	@grep -E '^(av|mujoco|rosbags)==' $(UNDERLAY)/requirements.txt \
	  | $(COMPILE) 3.12 --generate-hashes --no-emit-package numpy - \
	  -o $(UNDERLAY)/container.txt

clean:
	rm -rf .venv build install log out
