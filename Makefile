# Every target sets up its own environment in .venv; you need Python 3.11 or newer, pip and make.
.DEFAULT_GOAL := help
.PHONY: help setup check book browser test newest demo table lab train bench parity abuse holes release lint format notebooks clean

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/ready
# Tests run in parallel, one file per process, and each process has one thread: the threads of two processes would wait
# for each other and cost more than they gain. The slowest chapters start first, so that none is left to run alone.
PARALLEL := --numprocesses auto --dist loadscope --no-loadscope-reorder --durations 10
ONE_THREAD := OMP_NUM_THREADS=1
# The tests of the files at the top of vlm/, the comparison with transformers, and the grader of one chapter.
CORE := $(patsubst %,tests/test_%.py,parity imports config siglip attention attention_mask gemma gemma2 kv_cache paligemma \
	image_processing processor generate layouts loader dtypes_and_devices)
CORE_EXERCISES := exercises/test_ch08_gqa.py
LONGEST := $(patsubst %,book/%.ipynb,ch21_finetuning ch22_pretraining ch20_evaluation ch18_masks ch19_inside)

help:
	@echo "make book       build the web pages (chapters that changed are executed), print where they are"
	@echo "make browser    check the built pages in a real browser: links, errors, accessibility, small screens (needs chromium)"
	@echo "make test       run unit tests, every chapter as a regression test, and the solutions of all exercises"
	@echo "make check      test the model's core alone, in less than a minute: its unit tests, and the grader of one chapter"
	@echo "make newest     run unit tests with the newest versions of all packages, in an environment of their own"
	@echo "make demo       let the shipped model caption, count, read, draw boxes and masks, and say no (demo.png)"
	@echo "make table      evaluate the shipped model, on test scenes and on scenes of another generator (minutes)"
	@echo "make lab        open the chapters in JupyterLab"
	@echo "make train      train the Toybox model from scratch (into runs/)"
	@echo "make bench      compare with transformers: seconds, tokens per second, and the machine's limit (minutes)"
	@echo "make parity     compare every model, checkpoint layout and dtype with transformers, in one table"
	@echo "make abuse      try hostile submissions and broken files: each must be refused with a helpful message"
	@echo "make holes      change the right answers to exercises by rules: which wrong ones do the graders pass? (hours)"
	@echo "make release    write the students' copy, without solutions (into release/)"
	@echo "make lint       check the style of the code, spelling, links between files"
	@echo "make format     format the code in that style"
	@echo "make notebooks  make the notebooks from book/*.py again, and execute them"
	@echo "make clean      remove the environment and everything built, including your training runs"

# The file "ready" is written when everything is installed, so an interrupted setup never counts as complete.
$(READY): requirements.lock pyproject.toml tools/setup.sh
	@sh tools/setup.sh "$(PYTHON)"

setup: $(READY)

book: $(READY)
	@$(PY) tools/build_book.py

browser: $(READY)
	@$(ONE_THREAD) $(PY) -m pytest tests/test_pages.py tests/test_browser.py tests/test_pages_in_browser.py $(PARALLEL)

check: $(READY)
	@$(ONE_THREAD) $(PY) -m pytest $(CORE) $(PARALLEL)
	@$(ONE_THREAD) $(PY) -m pytest $(CORE_EXERCISES) --impl solutions

test: $(READY)
	@if [ -d tests ]; then \
		echo "== 1 of 3: unit tests" && \
		$(ONE_THREAD) $(PY) -m pytest tests $(PARALLEL); \
	fi
	@echo "== 2 of 3: every chapter runs and gives the outputs saved in it"
	@$(ONE_THREAD) $(PY) -m pytest --nbval --nbval-current-env -p no:warnings $(PARALLEL) $(LONGEST) book
	@if [ -d solutions ]; then \
		echo "== 3 of 3: the graders pass the solutions" && \
		$(ONE_THREAD) $(PY) -m pytest exercises --impl solutions; \
	fi

# In its own environment, without the lock file; PIP_CONSTRAINT and pip's other variables apply there too.
newest:
	@"$(PYTHON)" -m venv .venv-newest
	@.venv-newest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable ".[book,test]"
	@.venv-newest/bin/python -m pip list | grep -iE "^(torch|transformers|numpy|pillow|peft) "
	@$(ONE_THREAD) .venv-newest/bin/python -m pytest tests -m "not browser and not abuse and not lock" $(PARALLEL)

demo: $(READY)
	@$(PY) -m toybox.demo

table: $(READY)
	@$(PY) -m toybox.evaluate --bars
	@$(PY) tests/outside.py

lab: $(READY)
	@$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/book

train: $(READY)
	@$(PY) -m toybox.train

bench: $(READY)
	@$(PY) -m benchmark --output bench.json --plot bench.png

parity: $(READY)
	@$(PY) tests/parity_matrix.py

abuse: $(READY)
	@$(ONE_THREAD) $(PY) -m pytest tests -m abuse $(PARALLEL)

# CHAPTERS="ch03 ch08" takes two chapters alone.
holes: $(READY)
	@$(ONE_THREAD) $(PY) -m tools.holes $(CHAPTERS) --json holes.json

release: $(READY)
	@$(PY) -m grader.release

lint: $(READY)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m codespell_lib .
	@$(PY) tools/check_links.py

format: $(READY)
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

notebooks: $(READY)
	@$(PY) tools/notebooks.py

clean:
	rm -rf .venv .venv-newest _build runs release demo.png bench.json bench.png holes.json
