# The commands that people and CI use. `make demo` and `make test` need nothing but Python 3.11 or later.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
EXTRAS := dev,onnxruntime,openvino,tensorrt-rtx,torch,nncf,firmware,pkcs11,microcontroller
STAMP  := $(VENV)/.installed
# Plain `torch` would fetch gigabytes of CUDA; the pinned version has a CPU build.
PIN    := -c constraints.txt

.PHONY: demo test test-slow lint examples bench docs clean help conformance matrix robustness

help:            ## List these commands.
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIN) -e '.[$(EXTRAS)]'
	$(BIN)/python -m pip install --quiet --no-deps tritonclient==2.73.0  # pins an older ml-dtypes; tests load one module of it
	touch $@

demo: $(STAMP)   ## Train a small network on real digits and build it for ONNX Runtime and OpenVINO.
	@$(BIN)/python -m examples.digits.prepare
	@$(BIN)/edgetool build --file examples/digits/targets.toml --target ort-int8 --target openvino-int8

test: $(STAMP)   ## The fast tests.
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

test-slow: $(STAMP)  ## The tests that take longer: large files, real networks, killed builds.
	$(BIN)/python -m pytest -n 2 -m 'slow or network' $(PYTEST_ARGS)

lint: $(STAMP)   ## ruff, and mypy --strict.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

examples: $(STAMP)  ## Build every example network for ONNX Runtime and OpenVINO, float and int8.
	$(BIN)/python -m examples.run

bench: $(STAMP)  ## Speed and memory against named alternatives, as ratios.
	$(BIN)/python -m benchmarks

conformance: $(STAMP)  ## All of the ONNX project's operator tests through every backend; rewrites the table in the docs.
	mkdir -p build
	$(BIN)/edgetool conformance --backend onnxruntime --output build/onnxruntime.json
	$(BIN)/edgetool conformance --backend openvino --output build/openvino.json
	$(BIN)/edgetool conformance --backend c --output build/c.json
	$(BIN)/edgetool conformance --target rtx-ada --output build/rtx-ada.json
	$(BIN)/python docs/conformance.py build/onnxruntime.json build/openvino.json build/c.json build/rtx-ada.json

MATRIX := nice $(BIN)/edgetool validate --target openvino-int8 --emulate openvino-int8=denverton

matrix: $(STAMP)  ## Every example in int8 on both runtimes, an emulated Atom and an emulated Cortex: all reports, and the page in the docs.
	for name in $(patsubst examples/%/targets.toml,%,$(wildcard examples/*/targets.toml)); do $(BIN)/python -m examples.$$name.prepare || exit 1; done
	$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: --platform manylinux_2_28_aarch64 \
	  --dest "$$($(BIN)/python -c 'from edgetool.engine.cache import default_root as r; print(r() / "wheels")')" $(shell grep ^onnxruntime== constraints.txt)
	-$(MATRIX) -f examples/efficientnet_lite0/targets.toml -f examples/minilm/targets.toml -O json -o build/matrix-8.json
	$(MATRIX) --file examples/*/targets.toml --target ort-int8 --set targets.openvino-int8.facts.weight_bits=7 --emulate ort-int8=cortex-a53 \
	  -O html -O markdown -O json -O junit -O sarif -O github -O gitlab --output build/matrix; status=$$?; \
	$(BIN)/python docs/matrix.py build/matrix/report.json build/matrix-8.json; exit $$status

robustness: $(STAMP)  ## Twenty thousand mutated files through the commands that read them; an interrupted run goes on where it was.
	nice $(BIN)/python -m tests.robustness --count 20000 --folder build/robustness --summary tests/robustness/summary.json

docs: $(STAMP)   ## Regenerate the reference pages from the code.
	$(BIN)/python docs/generate.py

clean:           ## Remove the environment and what was built.
	rm -rf $(VENV) dist build
