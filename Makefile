# The two commands of a new user: `make demo` and `make test`. Both set up .venv first; Python and pip are all they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-litert test-tensorflow test-executorch test-coreml lint types setup clean

demo: setup
	$(BIN)/posewright demo

# The tests run in so many processes, each with one thread to calculate on; a file's tests stay together. Exports have processes
# of their own: they load native libraries by the dozen, which the others should not have to live with.
JOBS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadfile --max-worker-restart 0

test: lint types
	@status=0; $(PYTEST) tests/export || status=1; $(PYTEST) --ignore tests/export || status=1; exit $$status

# The converter to LiteRT brings packages that clash with the others' pins: an environment of its own.
test-litert: .venv-litert/ready
	.venv-litert/bin/pytest tests/export/test_formats.py tests/export/test_presets.py tests/export/test_sensitive.py -k litert -rs

.venv-litert/ready: pyproject.toml constraints.txt requirements-litert.txt
	$(PYTHON) -m venv .venv-litert
	.venv-litert/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,litert,openvino-int8,dev]'
	.venv-litert/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-litert.txt
	touch $@

# So do TensorFlow's, ExecuTorch's and Apple's.
test-tensorflow test-executorch test-coreml: test-%: .venv-%/ready
	.venv-$*/bin/pytest tests/export/test_heavy_formats.py -k "$* or savedmodel or frozen or core_ml" -rs

.venv-%/ready: pyproject.toml requirements-%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-$*.txt
	touch $@

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $@

clean:
	rm -rf .venv .venv-* out runs
