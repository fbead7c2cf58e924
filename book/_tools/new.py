"""Skeletons of an article: page, module and tests; enters it in `_toc.yml`, too.

They fail until they are filled: the page states a claim that nothing checks.
"""

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]

PAGE = """\
---
jupytext:
  text_representation: {{extension: .md, format_name: myst}}
kernelspec: {{display_name: Python 3, name: python3}}
title_zh: TODO
date: "TODO"
source: https://kexue.fm/archives/TODO
tags: [TODO]
summary: TODO
thumbnail: fig-{label}-TODO
---

# TODO

TODO: the question, then the insight in a sentence or two, before any formula.

```{{code-cell}} ipython3
:tags: [hide-input]

import matplotlib.pyplot as plt
import sympy as sp

from kexue import claims, randomness
from kexue.plotting import COLORS, use_style
from kexue.{part}.{slug} import TODO

use_style()
```

## Derivation

$$1 = 1$$ (eq-{label}-TODO)

## Experiment

## Where it holds and where it does not

## Closer look

## Exercises

## References

```{{footbibliography}}
```
"""

MODULE = '''\
"""TODO: one line.

TODO: the article, `book/{part}/{slug}`.
"""

from __future__ import annotations

__all__: list[str] = []
'''

API = """
## kexue.{part}.{slug}

```{{eval-rst}}
.. automodule:: kexue.{part}.{slug}
   :members:
```
"""

TESTS = '''\
"""TODO: the claims of `book/{part}/{slug}` that are not on the page, and the rest."""

from kexue.{part} import {slug}


def test_something_is_public():
    assert {slug}.__all__
'''


def main(page: str) -> int:
    part, _, slug = page.partition("/")
    if not slug.isidentifier() or not part.isidentifier():
        print(f"expected PAGE=part/slug, got {page!r}", file=sys.stderr)
        return 1
    names = {"part": part, "slug": slug, "label": slug.replace("_", "-")}
    package = ROOT / "kexue" / part / "__init__.py"
    files = {
        ROOT / "book" / part / f"{slug}.md": PAGE,
        ROOT / "kexue" / part / f"{slug}.py": MODULE,
        ROOT / "tests" / part / f"test_{slug}.py": TESTS,
    }
    if present := [str(path) for path in files if path.exists()]:
        print(f"already there: {', '.join(present)}", file=sys.stderr)
        return 1
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(**names), encoding="utf-8")
        print(path.relative_to(ROOT))
    if not package.exists():
        title = part.capitalize()
        package.write_text(f'"""{title}: one module for each article of the part."""\n')
    enter(page)
    with (ROOT / "book" / "api.md").open("a") as api:
        api.write(API.format(**names))
    print("_toc.yml\nbook/api.md")
    return 0


def enter(page: str) -> None:
    """Enter the page in the table of contents, in its part or in a new one."""
    path, caption = ROOT / "_toc.yml", page.split("/")[0].capitalize()
    toc = yaml.safe_load(path.read_text())
    part = next((part for part in toc["parts"] if part["caption"] == caption), None)
    if part is None:
        part = {"caption": caption, "numbered": 1, "chapters": []}
        toc["parts"].insert(-1, part)  # the pages behind the book stay last
    part["chapters"].append({"file": f"book/{page}"})
    path.write_text(yaml.dump(toc, Dumper=Indented, sort_keys=False))


class Indented(yaml.SafeDumper):
    """Lists stand indented under their key, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
