"""Execute the book's pages: only the stale ones, in parallel, the longest first.

MyST-NB caches outputs by a notebook's own code cells, which would leave stale results
behind every change in `kexue`. Here a page's digest (see `freshness`) is kept beside
the cache, and a page whose digest changed runs again. All stale pages run before a
failure stops the build.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from freshness import Digests, code_cells, used_names
from jupyter_cache import get_cache
from jupyter_cache.executors.basic import ExecutionWorkerLocalMProc, ProcessData
from ledger import hiding
from myst_nb.core.read import NbReader, create_nb_reader
from nbformat import NotebookNode, v4, writes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.display import status_iterator

ANSI = re.compile(r"\x1b\[[0-9;]*m")
KERNEL = {
    # BLAS threads of parallel kernels fight for the cores until they hang or crawl
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # figures go into the page whatever the shell prefers
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


def read_notebooks(env: BuildEnvironment) -> dict[str, tuple[NbReader, NotebookNode]]:
    """Every page of the book that has code cells, as its source stands."""
    notebooks = {}
    for docname in sorted(env.found_docs):
        path = env.doc2path(docname)
        text = Path(path).read_text(encoding="utf-8")
        config: Any = env  # MyST-NB keeps its settings there
        reader = create_nb_reader(path, config.myst_config, config.mystnb_config, text)
        if reader is not None:
            notebooks[docname] = reader, reader.read(text)
    return notebooks


def execute(app: Any, env: Any, docnames: list[str]) -> None:
    """Run the stale pages; leave the executed notebooks and run times for the others.

    `app.kexue_notebooks` maps each page to its executed notebook, `env.kexue_seconds`
    to its run time and `env.kexue_names` to what it uses of the package.
    """
    notebooks = read_notebooks(env)
    stop(line for name, (_, nb) in notebooks.items() for line in hiding(name, nb))
    require_own_package(Path(app.srcdir))
    cache = get_cache(env.mystnb_config.execution_cache_path)
    digests = Digests(Path(app.srcdir))
    names = {docname: used_names(nb) for docname, (_, nb) in notebooks.items()}
    book = Path(cache.path, "kexue.json")
    known = json.loads(book.read_text()) if book.exists() else {}

    stale = {}
    for docname, (reader, notebook) in notebooks.items():
        path, digest = env.doc2path(docname), digests.of(names[docname])
        try:
            match = cache.match_cache_notebook(notebook)
            if known.get(docname, {}).get("digest") == digest:
                continue
            cache.remove_cache(match.pk)
        except KeyError:
            pass
        record = cache.add_nb_to_project(path, read_data=reader.read_fmt)
        stale[path] = docname, digest, record.pk

    def last_time(path: str) -> float:
        return known.get(stale[path][0], {}).get("seconds", float("inf"))

    timeout, failures = env.mystnb_config.execution_timeout, []
    order = sorted(stale, key=last_time, reverse=True)
    jobs = [ProcessData(stale[path][2], path, cache, timeout, False) for path in order]
    for code, path in run(jobs):
        docname, digest, pk = stale[path]
        notebook = notebooks[docname][1]
        if code == 0:
            data = cache.match_cache_notebook(notebook).data
            known[docname] = {"digest": digest, "seconds": data["execution_seconds"]}
            # page by page: after a failed or interrupted build only the rest runs
            book.write_text(json.dumps(known, indent=1))
        else:
            traceback = cache.get_project_record(pk).traceback
            failures.append(failure(app, docname, notebook, traceback))
    stop(sorted(failures))

    docnames += sorted({docname for docname, *_ in stale.values()} - set(docnames))
    env.kexue_seconds = {docname: known[docname]["seconds"] for docname in notebooks}
    env.kexue_names = names
    app.kexue_notebooks = {
        docname: cache.merge_match_into_notebook(notebook)[1]
        for docname, (_, notebook) in notebooks.items()
    }


def run(jobs: list[ProcessData]) -> Iterator[tuple[int, str]]:
    """Execute and cache with jupyter-cache's own worker, one process a core.

    (Its executor hands the pages out in chunks, which spoils the order.)
    """
    if not jobs:
        return
    cores = min(len(jobs), os.cpu_count() or 1)
    with (
        TemporaryDirectory() as profile,
        patch.dict(os.environ, KERNEL, IPYTHONDIR=profile),
        multiprocessing.Pool(cores) as pool,
    ):
        # neither the user's IPython set-up nor the kernel's log belongs to a build
        config = Path(profile, "profile_default", "ipython_kernel_config.py")
        config.parent.mkdir()
        config.write_text("c.IPKernelApp.log_level = 'ERROR'\n")
        runs = pool.imap_unordered(ExecutionWorkerLocalMProc(), jobs)
        yield from status_iterator(
            runs,
            "executing pages... ",
            "purple",
            len(jobs),
            stringify_func=lambda run: os.path.relpath(run[1]),
        )


def failure(app: Sphinx, docname: str, nb: NotebookNode, traceback: str | None) -> str:
    """One line that says where and why; the whole traceback goes to a file."""
    text = ANSI.sub("", traceback or "the page did not run: its kernel died").strip()
    report = Path(app.outdir, "reports", f"{docname}.log")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(text + "\n", encoding="utf-8")
    sources = [cell.source.strip() for cell in code_cells(nb)]
    cell = next((n for n, source in enumerate(sources, 1) if source in text), None)
    where = f"{docname}.md" if cell is None else f"{docname}.md, cell {cell}"
    return f"{where}: {text.splitlines()[-1]}"


def require_own_package(root: Path) -> None:
    """The kernels must import the package that lies beside the pages."""
    spec = importlib.util.find_spec("kexue")
    own, origin = root / "kexue" / "__init__.py", spec.origin if spec else None
    if origin is None or Path(origin).resolve() != own.resolve():
        stop([f"the pages would import kexue from {origin}, not from {own}"])


def stop(lines: Iterable[str]) -> None:
    """End the build with one line a failure, the last thing that is printed."""
    if lines := list(lines):
        sys.stdout.flush()
        print("", *lines, sep="\n", file=sys.stderr, flush=True)
        raise SystemExit(1)


def report_all_warnings(app: Sphinx) -> None:
    """Any warning fails the build, after all of them were reported."""
    app.keep_going = True


def finish(app: Any, exception: Exception | None) -> None:
    """Offer executed notebooks; forget a build that complained, lest it be reused."""
    if exception or app._warncount:
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)
        return
    install = f'# %pip install "kexue[book] @ git+{app.config.kexue_repository}"'
    note = "Where `kexue` is not installed yet, uncomment and run the next cell first."
    head = [v4.new_markdown_cell(note), v4.new_code_cell(install)]
    for docname, executed in app.kexue_notebooks.items():
        download = v4.new_notebook(
            metadata=executed.metadata, cells=head + executed.cells
        )
        path = Path(app.outdir, "_sources", f"{docname}.ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(writes(download), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("kexue_repository", "", "html", str)
    app.connect("builder-inited", report_all_warnings)
    app.connect("env-before-read-docs", execute)
    # after MyST-NB and the theme, which put notebooks without outputs there
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
