# `make` alone says what there is. Every target works from a fresh clone with nothing but
# Python 3.11 and make: it makes .venv and installs once, and again when the pins change.

PYTHON ?= python3.11
PAGE ?=
BIN := .venv/bin
INSTALL := -c constraints.txt -e .[book,test]
STAMP := .venv/installed

.PHONY: help book test article look new site-test serve timings refresh-pins clean

help:  ## say what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ssl, sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo "Kexue needs Python 3.11 with ssl and venv, and '$(PYTHON)' is not it: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --progress-bar off $(INSTALL)
	@touch $@

book: $(STAMP)  ## build the site into _build/html (only what changed runs again)
	$(BIN)/jupyter-book build .

test: $(STAMP)  ## lint, type-check and run the tests, without the browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/pytest -q -n auto --ignore=tests/book/test_site.py

site-test: $(STAMP)  ## open every page of the built site in Chromium
	$(BIN)/pytest -q -n auto tests/book/test_site.py

article: need-page $(STAMP)  ## build one page alone, quickly: PAGE=losses/multilabel
	$(BIN)/python book/_tools/one_page.py $(PAGE)

look: need-page $(STAMP)  ## screenshots of one built page into _build/look: PAGE=…
	$(BIN)/python book/_tools/look.py $(PAGE)

new: need-page $(STAMP)  ## skeletons of a page, its module and its tests: PAGE=…
	$(BIN)/python book/_tools/new.py $(PAGE)

serve: $(STAMP)  ## show the built site at http://127.0.0.1:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

timings: $(STAMP)  ## the pages' last run times, the longest first
	@$(BIN)/python book/_tools/timings.py

refresh-pins:  ## write constraints.txt from a fresh install without constraints
	$(PYTHON) -m venv --clear _build/pins
	_build/pins/bin/python -m pip install --quiet -e .[book,test] torch==$$(sed -n 's/^torch==//p' constraints.txt)
	{ sed '/^[^#]/,$$d' constraints.txt; _build/pins/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > _build/constraints.txt
	mv _build/constraints.txt constraints.txt

clean:  ## remove the built site, its cache and the virtual environment
	rm -rf _build .venv

.PHONY: need-page
need-page:
	@test -n "$(PAGE)" || { echo "Which page? make ... PAGE=losses/multilabel" >&2; exit 1; }
