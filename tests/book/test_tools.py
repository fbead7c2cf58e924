"""The skeletons that `make new` writes: complete, and failing until they are filled."""

import importlib.util
import shutil
from pathlib import Path

import jupytext
import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def new(tmp_path, monkeypatch):
    path = ROOT / "book" / "_tools" / "new.py"
    spec = importlib.util.spec_from_file_location("new", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "book").mkdir()
    shutil.copy(ROOT / "book" / "api.md", tmp_path / "book")
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    return module


def test_new_article_has_its_three_files_and_its_place(new, tmp_path):
    assert new.main("optics/thin_lens") == 0
    page = tmp_path / "book/optics/thin_lens.md"
    assert "(eq-thin-lens-TODO)" in page.read_text(), "a claim that nothing checks"
    assert any(cell.cell_type == "code" for cell in jupytext.read(page).cells)
    for path in ("kexue/optics/__init__.py", "kexue/optics/thin_lens.py"):
        compile((tmp_path / path).read_text(), path, "exec")
    assert (tmp_path / "tests/optics/test_thin_lens.py").exists()
    parts = yaml.safe_load((tmp_path / "_toc.yml").read_text())["parts"]
    assert parts[-2]["chapters"] == [{"file": "book/optics/thin_lens"}]
    assert (
        "automodule:: kexue.optics.thin_lens" in (tmp_path / "book/api.md").read_text()
    )


def test_new_article_joins_its_part(new, tmp_path):
    before = yaml.safe_load((tmp_path / "_toc.yml").read_text())["parts"]
    assert new.main("mathematics/another") == 0
    after = yaml.safe_load((tmp_path / "_toc.yml").read_text())["parts"]
    assert [part["caption"] for part in after] == [part["caption"] for part in before]


@pytest.mark.parametrize("page", ["thin_lens", "optics/thin-lens", "a/b/c"])
def test_new_refuses_other_names(new, page, capsys):
    assert new.main(page) == 1
    assert "expected PAGE=part/slug" in capsys.readouterr().err


def test_new_overwrites_nothing(new, tmp_path, capsys):
    assert new.main("optics/thin_lens") == 0
    assert new.main("optics/thin_lens") == 1
    assert "already there" in capsys.readouterr().err
