# Two commands for everyone, on a fresh Debian or Ubuntu with Python 3.11 or newer:
#   make demo   runs the example in examples/thpp on real data
#   make test   runs all tests
# one to run after each change:
#   make quick  runs the fast tests in less than a minute
# and one to know how fast it is:
#   make bench  measures it beside the floor of this machine (BENCH_ARGS=--short for a minute of it)
PYTHON ?= python3
VENV ?= .venv
DEMO_VENV ?= .demo-venv
AIRFLOW_VENV ?= .airflow-venv
AIRFLOW ?= apache-airflow==3.3.2
DEMO_OUTPUT ?= demo-output
SCIENCE ?= .science
PYTEST_ARGS ?=
QUICK = tests/unit $(addprefix tests/docs/test_,changelog.py commands.py performance.py reference.py)
BENCH_ARGS ?=

.PHONY: help demo test science quick bench lint screenshots drawings clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 7

# A venv is made anew when what it needs has changed; PYTHON may be any Python from 3.11 on.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet -e ".[dev]"
	touch $@

$(DEMO_VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(DEMO_VENV)/bin/python -m pip install --quiet -e ".[demo]"
	touch $@

# Airflow for the tests. Its modules are compiled here, or every start of one of its programs would do that again.
$(AIRFLOW_VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(AIRFLOW_VENV)
	$(AIRFLOW_VENV)/bin/python -m pip install --quiet uv
	PYTHONDONTWRITEBYTECODE= $(AIRFLOW_VENV)/bin/uv pip install --quiet --python $(AIRFLOW_VENV)/bin/python \
		--compile-bytecode "$(AIRFLOW)" -e .
	touch $@

demo: $(DEMO_VENV)/.ready
	$(DEMO_VENV)/bin/python examples/thpp/demo.py $(DEMO_OUTPUT)

# First those that must have the machine to themselves, then the others, one process for each core
test: $(VENV)/.ready $(AIRFLOW_VENV)/.ready
	export AIRFLOW_VENV=$(abspath $(AIRFLOW_VENV)); \
	$(VENV)/bin/python -m pytest -m alone $(PYTEST_ARGS); alone=$$?; \
	$(VENV)/bin/python -m pytest -m "not alone and not science" -n auto --dist loadfile $(PYTEST_ARGS); others=$$?; \
	case $$alone,$$others in 0,0|0,5|5,0) ;; *) exit 1;; esac # 5: there is none of these

# With DIALS, from apt-get install dials python3-cctbx libcctbx-dev; the image is fetched once
science: $(VENV)/.ready
	tests/science/fetch_frame.sh $(SCIENCE)
	LUTE_SCIENCE=$(abspath $(SCIENCE)) $(VENV)/bin/python -m pytest -q -m science tests/science $(PYTEST_ARGS)

# Without a server, an Airflow or a browser; one process for each core, and the tests of one file in one of them
quick: $(VENV)/.ready
	$(VENV)/bin/python -m pytest -q -n auto --dist loadfile -m "not slow" $(QUICK) $(PYTEST_ARGS)

bench: $(VENV)/.ready
	$(VENV)/bin/python benchmarks/run.py $(BENCH_ARGS)

# Pictures of the web page for the documentation; needs a Chromium
screenshots: $(VENV)/.ready
	$(VENV)/bin/python docs/screenshots.py

# The drawing of the folders in docs/explanation/architecture.md, from the imports as they are
drawings:
	$(PYTHON) docs/architecture.py

lint: $(VENV)/.ready
	$(VENV)/bin/ruff check src tests examples benchmarks
	$(VENV)/bin/ruff format --check src tests examples benchmarks
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

clean:
	rm -rf $(VENV) $(DEMO_VENV) $(AIRFLOW_VENV) $(DEMO_OUTPUT) .pytest_cache .mypy_cache .ruff_cache
