# Everything runs in .venv, which `make env` makes. `make` alone lists the targets.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin

# A sourced ROS distribution, or another environment of wheels, must not mix with .venv: its
# libraries and messages are of other versions.
ifneq ($(filter-out $(CURDIR)/.venv,$(subst :, ,$(AMENT_PREFIX_PATH)))$(ROS_DISTRO),)
$(info A ROS environment is sourced ($(or $(ROS_DISTRO),$(AMENT_PREFIX_PATH))); make sets it aside and uses .venv.)
unexport LD_LIBRARY_PATH
endif
ifneq ($(_ROS_WHEELS_BOOTSTRAP_COMPLETE),)
unexport LD_LIBRARY_PATH
endif
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONPATH PYTHONHOME RMW_IMPLEMENTATION
unexport ROS_DISTRO ROS_PYTHON_VERSION ROS_VERSION VIRTUAL_ENV
export AMENT_PREFIX_PATH := $(CURDIR)/.venv
export PATH := $(BIN):$(PATH)
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help env demo test bench soak lint clean

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

env:  ## Make .venv: pinned wheels, ROS interfaces, the sim2real command (PYTHON=python3.12 to choose)
	@$(PYTHON) env/setup.py

demo: env  ## Run the whole loop against a surrogate robot; the report is out/demo/report.html
	$(BIN)/sim2real demo $(ARGS)

# colcon prints its own closing lines; pytest's summary is shown once more, as the last line.
# Two workers: what must run one after the other is grouped in test/conftest.py.
test: env  ## Build with colcon and run the tests (ARGS='-k sysid' chooses)
	$(BIN)/colcon build --packages-select sim2real --event-handlers desktop_notification-
	@$(BIN)/colcon test --packages-select sim2real --return-code-on-test-failure \
	    --event-handlers console_direct+ desktop_notification- \
	    --pytest-args -n 2 --dist loadgroup $(ARGS); status=$$?; \
	grep -aE '^=+ .* in [0-9.]+s.* =+$$' log/latest_test/sim2real/stdout.log | tail -n 1; \
	exit $$status

bench: env  ## Run every benchmark against its bar
	@failed=; for file in benchmarks/*.py; do \
	    echo "== $$file"; $(BIN)/python $$file || failed="$$failed $$file"; \
	done; if [ -n "$$failed" ]; then echo "below the bar:$$failed"; exit 1; fi

soak: env  ## Run what takes long: ten surrogates, respawns, kills, hostile requests, coverage, detection
	$(BIN)/python -m pytest -m soak --timeout=7200 $(ARGS)

lint: env  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## Remove what make made, except .venv
	rm -rf build install log out
