# Every target sets up its own environment in .venv; you need Python 3.11 or newer, pip and make.
.DEFAULT_GOAL := help
.PHONY: help setup check book browser test newest demo table lab train bench parity abuse release lint format notebooks clean

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/ready
# Tests run side by side, a file to each process, and a process has one thread: threads of two that wait for each other
# cost more than they bring. The chapters that take longest come first, so that none is left to run alone.
PARALLEL := --numprocesses auto --dist loadscope --no-loadscope-reorder --durations 10
ONE_THREAD := OMP_NUM_THREADS=1
# The tests of the files at the top of vlm/, the comparison with transformers, and the grader of one chapter.
CORE := $(patsubst %,tests/test_%.py,parity imports config siglip attention attention_mask gemma gemma2 kv_cache paligemma \
	image_processing processor generate layouts loader dtypes_and_devices)
CORE_EXERCISES := exercises/test_ch08_gqa.py
LONGEST := $(patsubst %,book/%.ipynb,ch21_finetuning ch22_pretraining ch20_evaluation ch18_masks ch19_inside)

help:
	@echo "make book       build the web pages (chapters that changed are executed), print where they are"
	@echo "make browser    the built pages in a real browser: links, errors, accessibility, small screens (needs chromium)"
	@echo "make test       unit tests, every chapter as a regression test, the solutions of all exercises"
	@echo "make check      the model's core alone, in less than a minute: its unit tests, and the grader of one chapter"
	@echo "make newest     unit tests with the newest versions of all packages, in an environment of its own"
	@echo "make demo       the shipped model captions, counts, reads, draws boxes and masks, and says no (demo.png)"
	@echo "make table      how good the shipped model is, on test scenes and on those of another generator (minutes)"
	@echo "make lab        open the chapters in JupyterLab"
	@echo "make train      train the Toybox model from nothing (into runs/)"
	@echo "make bench      this package beside transformers: seconds, tokens per second, and the machine's limit (minutes)"
	@echo "make parity     every model, checkpoint layout and dtype against transformers, in one table"
	@echo "make abuse      hostile submissions and broken files: all are refused, with a word that helps"
	@echo "make release    the students' copy, without solutions (into release/)"
	@echo "make lint       style of the code, spelling, links between files"
	@echo "make format     put the code into that style"
	@echo "make notebooks  make and execute the notebooks anew from book/*.py"
	@echo "make clean      remove the environment and everything built, your training runs too"

# The file "ready" is written when all is installed, so an interrupted set-up is never taken for a whole one.
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
	@echo "== 2 of 3: every chapter runs and gives what is printed in it"
	@$(ONE_THREAD) $(PY) -m pytest --nbval --nbval-current-env -p no:warnings $(PARALLEL) $(LONGEST) book
	@if [ -d solutions ]; then \
		echo "== 3 of 3: the graders pass the solutions" && \
		$(ONE_THREAD) $(PY) -m pytest exercises --impl solutions; \
	fi

# In its own environment, without the lock; PIP_CONSTRAINT and other variables of pip hold there too.
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
	rm -rf .venv .venv-newest _build runs release demo.png bench.json bench.png
