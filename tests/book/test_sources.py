"""The rules for sources that no build can check."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.M | re.S)
FRONT = {"title_zh", "date", "source", "tags", "summary", "thumbnail"}
# what a run gives is typed nowhere: a number with a decimal point, outside code and TeX
TYPED = re.compile(r"(?<![\w.\-–/:#])\d+\.\d+(?![\w.]|\.\d)")


def toc_pages():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    entries = [entry for part in toc["parts"] for entry in part["chapters"]]
    return [toc["root"], *(entry["file"] for entry in entries)]


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else {}


SOURCES = {name: (ROOT / f"{name}.md").read_text() for name in toc_pages()}
ARTICLES = {
    name: text for name, text in SOURCES.items() if "source" in front_matter(text)
}
article = pytest.mark.parametrize("name", ARTICLES)


def cells(text):
    """Options and code of each code cell."""
    for body in CELL.findall(text):
        options, code = {}, body
        if body.startswith("---\n"):
            _, head, code = body.split("---\n", 2)
            options = yaml.safe_load(head)
        elif body.startswith(":"):
            head, _, code = body.partition("\n\n")
            pairs = (line[1:].split(":", 1) for line in head.splitlines())
            options = {key: yaml.safe_load(value) for key, value in pairs}
        yield options, code


def test_every_page_is_in_the_book_and_every_module_has_one():
    pages = {path.stem for path in (ROOT / "book").glob("*/*.md")}
    modules = {path.stem for path in (ROOT / "kexue").glob("*/[a-z]*.py")}
    listed = {name.rpartition("/")[2] for name in ARTICLES}
    assert pages == listed
    assert listed <= modules
    for name in ARTICLES:
        part, slug = name.split("/")[1:]
        assert (ROOT / "tests" / part / f"test_{slug}.py").exists()


def test_doctests_stand_under_examples():
    """After other sections numpydoc takes a bare `>>>` for one more parameter."""
    for path in (ROOT / "kexue").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                before, found, _ = (ast.get_docstring(node) or "").partition(">>>")
                sections = re.findall(r"^(\w+)\n-{3,}$", before, re.M)
                last = sections[-1] if found and sections else "Examples"
                name = getattr(node, "name", "")
                assert last in ("Examples", "Notes"), f"{path.name}: {name}"


def test_api_page_documents_every_module():
    documented = re.findall(r"automodule:: (\S+)", SOURCES["book/api"])
    paths = [path.relative_to(ROOT) for path in (ROOT / "kexue").rglob("[a-z]*.py")]
    assert sorted(documented) == sorted(
        ".".join(path.with_suffix("").parts) for path in paths
    )


@article
def test_front_matter_is_complete(name):
    front = front_matter(ARTICLES[name])
    assert front.keys() >= FRONT
    assert isinstance(front["date"], str), "quote the date"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", front["date"])
    assert re.fullmatch(
        r"https://(spaces\.ac\.cn|kexue\.fm)/archives/\d+", front["source"]
    )
    assert isinstance(front["tags"], list)
    assert len(front["summary"]) <= 200


@article
def test_figures_have_alternative_text_and_caption(name):
    for options, code in cells(ARTICLES[name]):
        if re.search(r"plt\.(show|subplots|figure)|\.Slider\(", code):
            shown = options.get("mystnb", {})
            assert len(shown.get("image", {}).get("alt", "")) >= 20, code
            assert shown.get("figure", {}).get("caption"), code
            assert shown["figure"].get("name", "").startswith("fig-"), code
            assert "hide-input" in options.get("tags", []), code
            assert "claims." not in code, "a cell that draws does nothing else"


@article
def test_cells_are_short_and_narrow(name):
    for _, code in cells(ARTICLES[name]):
        lines = code.strip("\n").split("\n")
        assert len(lines) <= 25, code
        assert max(map(len, lines)) <= 76, max(lines, key=len)


@article
def test_cells_print_nothing_and_draw_no_numbers_of_their_own(name):
    for _, code in cells(ARTICLES[name]):
        for node in ast.walk(ast.parse(re.sub(r"^%.*$", "", code, flags=re.M))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called != "print", code
            assert not re.search(r"manual_seed|default_rng|RandomState", called), code


@article
def test_results_are_not_typed(name):
    """Decimal numbers in prose come from the run; exact settings stand in TeX."""
    prose = CELL.sub("", ARTICLES[name]).split("---\n", 2)[2]
    prose = re.sub(r"^```.*?^```$", "", prose, flags=re.M | re.S)
    prose = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|^%.*$", "", prose, flags=re.M | re.S)
    assert TYPED.findall(prose) == []


@article
def test_footnotes_are_citations(name):
    """MyST's warning about missing footnotes is off, for it knows no others."""
    assert "[^" not in CELL.sub("", ARTICLES[name])


@article
def test_code_is_included_by_name(name):
    for block in re.findall(r"```\{literalinclude\}.*?```", ARTICLES[name], flags=re.S):
        assert ":pyobject:" in block
        assert ":lines:" not in block


@article
def test_exercises_have_checked_solutions(name):
    text = ARTICLES[name]
    asked = re.findall(r"\{exercise(?:-start)?\}[^\n]*\n:label: (\S+)", text)
    solved = re.findall(
        r"\{solution-start\} (\S+)(.*?)\{solution-end\}", text, flags=re.S
    )
    assert 2 <= len(asked) <= 5
    assert sorted(asked) == sorted(label for label, _ in solved)
    for label, solution in solved:
        assert ":class: dropdown" in solution, label
        assert re.search(r"\bassert\b|claims\.", solution), label


def test_environment_installs_what_make_does():
    makefile = (ROOT / "Makefile").read_text()
    line = re.search(r"^INSTALL := (.*)$", makefile, flags=re.M)[1]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(
        entry for entry in environment["dependencies"] if isinstance(entry, dict)
    )
    index, *lines = pip["pip"]
    assert " ".join(lines) == line
    assert index == "--extra-index-url https://download.pytorch.org/whl/cpu"


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert f'version = "{citation["version"]}"' in project
    assert f"## {citation['version']}" in changes


@pytest.mark.parametrize("name", sorted(ARTICLES)[:1])
def test_binder_runs_a_page_as_a_notebook(name):
    """A page opens with jupytext, and its first cells run where Binder puts it."""
    jupytext = pytest.importorskip("jupytext")
    from nbclient import NotebookClient

    notebook = jupytext.read(ROOT / f"{name}.md")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) == len(list(cells(ARTICLES[name])))
    notebook.cells = code[:2]
    folder = {"metadata": {"path": str((ROOT / name).parent)}}
    NotebookClient(notebook, timeout=60, resources=folder).execute()


@article
def test_every_page_opens_with_jupytext(name):
    jupytext = pytest.importorskip("jupytext")
    notebook = jupytext.read(ROOT / f"{name}.md")
    assert any(cell.cell_type == "code" for cell in notebook.cells)
