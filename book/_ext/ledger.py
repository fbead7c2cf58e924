"""The ledger: hold executed checks against labelled statements, and show both.

Records come from the outputs of executed notebooks only (`execution`), statements from
the pages. One without the other fails the build.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from freshness import code_cells, syntax_trees
from nbformat import NotebookNode
from rendering import Place, places, reading_order, render, render_text, titles
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

LABEL = re.compile(r"(eq|stmt|exp)-[\w-]+")
KINDS = ("identity", "equal", "bound", "estimate", "outcome")
MIME_KEY = "kexue-claim"  # as in kexue.claims


def hiding(docname: str, notebook: NotebookNode) -> Iterator[str]:
    """What could hide a refuted claim; no page may use it."""
    for number, cell in enumerate(code_cells(notebook), 1):
        found = {"raises-exception", "skip-execution"} & {
            *cell.metadata.get("tags", [])
        }
        if re.search(r"^\s*%%capture", cell.source, flags=re.M):
            found.add("%%capture")
        for what in sorted(found):
            yield f"{docname}.md, cell {number}: {what} could hide a refuted claim"
    for number, tree in syntax_trees(notebook):
        for node in ast.walk(tree):
            if isinstance(node, ast.Try) and "claims." in ast.unparse(node):
                yield f"{docname}.md, cell {number}: `try` could hide a refuted claim"


def collect_records(app: Any, env: Any, docnames: list[str]) -> None:
    """Map each page to the records its executed checks left in their outputs."""
    env.kexue_records = {
        docname: [
            output.metadata[MIME_KEY]
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if MIME_KEY in output.get("metadata", {})
        ]
        for docname, notebook in app.kexue_notebooks.items()
    }


def collect_statements(app: Any, doctree: nodes.document) -> None:
    """Note a page's labelled statements, in order, and the labels that it refers to."""
    env = app.env
    found = {}
    for node in doctree.findall(nodes.Element):
        label = str(node.get("label") or "")
        if not LABEL.fullmatch(label):
            continue
        if isinstance(node, nodes.math_block):
            what = {"type": "equation", "id": f"equation-{label}", "tex": node.astext()}
        elif node["ids"]:
            title = node.next_node(nodes.title)
            text = title.astext().partition("(")[2].rpartition(")")[0] if title else ""
            what = {"type": node["realtype"], "id": node["ids"][0], "title": text}
        else:  # an {eq} reference carries its target's label, too
            continue
        found[label] = what
    env.kexue_statements[env.docname] = found
    env.kexue_references[env.docname] = {
        node["reftarget"]
        for node in doctree.findall(addnodes.pending_xref)
        if LABEL.fullmatch(node.get("reftarget", ""))
    }


def prepare(app: Any) -> None:
    for name in ("kexue_statements", "kexue_references"):
        if not hasattr(app.env, name):
            setattr(app.env, name, {})


def purge(app: Sphinx, env: Any, docname: str) -> None:
    env.kexue_statements.pop(docname, None)
    env.kexue_references.pop(docname, None)


def compare(app: Sphinx, env: Any) -> None:
    """A statement without a check, or a check without a statement, is an error."""
    where: dict[str, str] = {}
    for docname, statements in env.kexue_statements.items():
        records = {record["label"] for record in env.kexue_records.get(docname, [])}
        for label in sorted(statements.keys() - records):
            logger.error("%s is stated but never checked", label, location=docname)
        for label in sorted(records - statements.keys()):
            logger.error("%s is checked but not stated", label, location=docname)
        for label in statements:
            if label in where:
                logger.error("%s is on %s too", label, where[label], location=docname)
            where[label] = docname


def rewrite_all(app: Sphinx, env: Any) -> list[str]:
    """Numbers, ticks and counts travel between pages: when one was read, write all."""
    return sorted(env.found_docs) if env.kexue_changed else []


def note_changes(app: Sphinx, env: Any, docnames: list[str]) -> None:
    env.kexue_changed = bool(docnames)


def rows(env: Any) -> list[dict[str, Any]]:
    """One dictionary a record, in the order of the book: what `ledger.json` holds."""
    users: dict[str, list[str]] = {}
    for docname in sorted(env.kexue_references):
        for label in env.kexue_references[docname]:
            users.setdefault(label, []).append(docname)
    found: list[dict[str, Any]] = []
    for docname in (name for name in reading_order(env) if name in env.kexue_records):
        for record in env.kexue_records[docname]:
            label = record["label"]
            statement = env.kexue_statements[docname].get(label)
            if statement is None:  # reported by `compare`
                continue
            anchor = statement["id"]
            numbers = env.toc_fignumbers.get(docname, {}).values()
            number = next((ids[anchor] for ids in numbers if anchor in ids), ())
            dotted = ".".join(map(str, number))
            name = f"{statement['type'].title()} {dotted}".strip()
            found.append(
                {
                    **record,
                    "page": docname,
                    "url": f"{docname}.html#{anchor}",
                    "name": f"({dotted})" if "tex" in statement and dotted else name,
                    "tex": statement.get("tex"),
                    "title": statement.get("title"),
                    "rejected": len(record["controls"]),
                    "first": all(label != row["label"] for row in found),
                    "used_by": [
                        page for page in users.get(label, []) if page != docname
                    ],
                }
            )
    return found


def fill(app: Any, doctree: nodes.document, docname: str) -> None:
    for place in places(doctree, "kexue-ledger"):
        found = rows(app.env)
        pages = list(dict.fromkeys(row["page"] for row in found))
        context = {"rows": found, "pages": pages, "titles": titles(app.env)}
        place.replace_self(render("ledger", docname, kinds=KINDS, **context))
        # the formulas came late: have the page load MathJax all the same
        app.env.get_domain("math").data["has_equations"][docname] = True


def add_ticks(app: Any, page: str, template: str, context: dict, doctree: Any) -> None:
    """Put each statement's tick beside its number; it links to the ledger's row."""
    records = app.env.kexue_records.get(page, [])
    for label in {record["label"] for record in records}:
        checks = [record for record in records if record["label"] == label]
        tick = render_text("tick", page, label=label, checks=checks)
        place = re.compile(
            rf'id="(?:equation-)?{label}".*?(?:<span class="eqno">|'
            rf'<p class="admonition-title"><span class="caption-number">[^<]*</span>)',
            flags=re.S,
        )
        body, found = context["body"], place.search(context["body"])
        if found:
            context["body"] = body[: found.end()] + tick + body[found.end() :]


def write_json(app: Any, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        path = Path(app.outdir, "book", "ledger.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows(app.env), ensure_ascii=False, indent=1))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("kexue-ledger", Place)
    app.connect("builder-inited", prepare)
    app.connect("env-before-read-docs", collect_records, priority=600)
    app.connect("env-before-read-docs", note_changes, priority=700)
    app.connect("env-purge-doc", purge)
    app.connect("doctree-read", collect_statements)
    app.connect("env-updated", rewrite_all)
    app.connect("env-check-consistency", compare)
    app.connect("doctree-resolved", fill)
    app.connect("html-page-context", add_ticks)
    app.connect("build-finished", write_json)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
