"""The build, proved on a book of two tiny pages: strict, fresh and complete."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
FIXTURE = Path(__file__).with_name("fixture")
SHARED = ("claims", "plotting", "randomness")

# the tests share one built book: one worker, in order
pytestmark = pytest.mark.xdist_group("build")


class Book:
    """A copy of the fixture with the real configuration and the real extensions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(FIXTURE, root)
        shutil.copy(ROOT / "_config.yml", root)
        for name in ("_ext", "_static"):
            shutil.copytree(ROOT / "book" / name, root / "book" / name)
        (root / "book" / "references.bib").touch()
        for name in SHARED:
            shutil.copy(ROOT / "kexue" / f"{name}.py", root / "kexue")
        self.env = os.environ | {"PYTHONPATH": str(root)}
        self.env.pop("KEXUE_SEED", None)

    def build(self, **env: str) -> tuple[int, str]:
        builder = Path(sys.executable).with_name("jupyter-book")
        done = subprocess.run(
            [builder, "build", "."],
            cwd=self.root,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def page(self, name: str) -> str:
        return (self.root / "_build/html/book" / f"{name}.html").read_text()

    def edit(self, path: str, old: str, new: str) -> None:
        source = self.root / path
        text = source.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        source.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    book = Book(tmp_path_factory.mktemp("build") / "book")
    status, log = book.build()
    assert status == 0, log
    return book


@pytest.fixture
def book(built):
    """The built book; its sources are as they were afterwards."""
    sources = [path for path in built.root.rglob("*.??") if "_build" not in path.parts]
    saved = {path: path.read_text() for path in sources}
    yield built
    for path, text in saved.items():
        if path.read_text() != text:
            path.write_text(text)


def executed(log: str) -> set[str]:
    """The pages that ran, by what the build said."""
    lines = [line for line in log.splitlines() if "executing pages" in line]
    return {name for name in ("first", "second") if f"book/{name}.md" in "".join(lines)}


def test_site_is_complete(built):
    ledger = json.loads((built.root / "_build/html/book/ledger.json").read_text())
    assert [(row["label"], row["kind"], row["name"]) for row in ledger] == [
        ("eq-first-double", "identity", "(1.1)"),
        ("stmt-first-sign", "equal", "Proposition 1.1"),
        ("eq-second-bound", "bound", "(2.1)"),
    ]
    assert ledger[0]["used_by"] == ["book/second"]
    assert all(row["controls"] for row in ledger)
    for row in ledger:
        page = built.page(row["page"].removeprefix("book/"))
        assert f"../book/ledger.html#claim-{row['label']}" in page, "no tick"
        assert f'id="claim-{row["label"]}"' in built.page("ledger")
        assert f'id="{row["url"].partition("#")[2]}"' in page
    assert "2 claims checked" in built.page("first")
    assert built.page("index").count("kexue-card-title") == 2
    assert 'aria-label="A bar as high as the slider says"' in built.page("second")
    assert "Used in" in built.page("api")
    assert "book/index.html" in (built.root / "_build/html/index.html").read_text()


def test_download_is_executed(built):
    path = built.root / "_build/html/_sources/book/first.ipynb"
    notebook = nbformat.read(path, as_version=4)
    install, *cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "%pip install" in install.source
    assert all(cell.outputs for cell in cells)


def test_no_change_runs_nothing(built):
    status, log = built.build()
    assert (status, executed(log)) == (0, set()), log


def test_module_two_imports_away_runs_its_page_only(book):
    book.edit("kexue/factor.py", "2", "2.0")
    status, log = book.build()
    assert (status, executed(log)) == (0, {"first"}), log
    assert "42.0" in book.page("first")


def test_prose_runs_nothing(book):
    book.edit("book/first.md", "keeps the sign.", "keeps every sign.")
    status, log = book.build()
    # the module went back to what it was: that page ran, the prose alone runs none
    assert executed(log) <= {"first"}
    book.edit("book/first.md", "keeps every sign.", "never turns the sign.")
    status, log = book.build()
    assert (status, executed(log)) == (0, set()), log
    assert "never turns the sign" in book.page("first")


def test_seed_runs_every_page(built):
    status, log = built.build(KEXUE_SEED="1000")
    assert (status, executed(log)) == (0, {"first", "second"}), log
    status, log = built.build()
    assert (status, executed(log)) == (0, {"first", "second"}), log


def test_failing_and_refuted_cells(book):
    """All pages run, each failure has its line, twice; a repair runs only its page."""
    book.edit("book/first.md", "double(21)", "double(21)\n1 / 0")
    wrong = 'controls={"reversed": (triple(1), 1)}'
    slipping = 'controls={"slips": (1, triple(1))}'
    book.edit("book/second.md", wrong, slipping)
    for _ in range(2):
        status, log = book.build()
        assert status != 0
        first, second = log.strip().splitlines()[-2:]
        assert first == "book/first.md, cell 1: ZeroDivisionError: division by zero"
        assert second.startswith("book/second.md, cell 1: ClaimRefuted: eq-")
    report = (book.root / "_build/html/reports/book/first.log").read_text()
    assert "Traceback" in report
    assert "\x1b" not in report
    book.edit("book/second.md", slipping, wrong)
    status, log = book.build()
    assert executed(log) == {"first"}, "the repaired page is as it was: cached"
    book.edit("book/first.md", "double(21)\n1 / 0", "double(22)")
    status, log = book.build()
    assert (status, executed(log)) == (0, {"first"}), log


def test_second_check_of_a_cell_is_heard(book):
    book.edit("book/first.md", "-double(1), controls", "double(1), controls")
    status, log = book.build()
    assert status != 0
    assert "cell 1: ClaimRefuted: stmt-first-sign" in log


def test_complaints_are_errors(book):
    """A bad reference, noise, a claim without check and a check without claim."""
    book.edit("book/second.md", "It leans on {eq}`eq-first-double`", "See {eq}`eq-no`")
    noise = "double(21)\nimport sys; print('noise', file=sys.stderr)"
    book.edit("book/first.md", "double(21)", noise)
    book.edit("book/first.md", ":label: stmt-first-sign", ":label: stmt-first-other")
    for _ in range(2):
        status, log = book.build()
        assert status != 0
        assert "equation not found: eq-no" in log
        assert "stderr was found" in log
        assert "stmt-first-other is stated but never checked" in log
        assert "stmt-first-sign is checked but not stated" in log


HIDING = """
```{code-cell} ipython3
:tags: [raises-exception]
1 / 0
```

```{code-cell} ipython3
:tags: [skip-execution]
1 / 0
```

```{code-cell} ipython3
%%capture
1 / 0
```

```{code-cell} ipython3
try:
    claims.equal("eq-x", 1, 2, controls={})
except Exception:
    pass
```
"""


def test_nothing_hides_a_refuted_claim(book):
    book.edit("book/first.md", "# The first page", f"# The first page\n{HIDING}")
    for _ in range(2):
        status, log = book.build()
        assert status != 0
        assert log.strip().splitlines()[-4:] == [
            f"book/first.md, cell {number}: {what} could hide a refuted claim"
            for number, what in enumerate(
                ("raises-exception", "skip-execution", "%%capture", "`try`"), 1
            )
        ]


def test_foreign_package_is_refused(built):
    status, log = built.build(PYTHONPATH="")
    assert status != 0
    assert "the pages would import kexue from" in log.strip().splitlines()[-1]
