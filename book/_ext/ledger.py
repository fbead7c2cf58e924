"""The ledger: hold executed checks against labelled statements, and show both.

Records come from the outputs of executed notebooks only (`execution`), statements from
the pages. One without the other fails the build.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

LABEL = re.compile(r"(eq|stmt|exp)-[\w-]+")
KINDS = ("identity", "equal", "bound", "estimate", "outcome")
MIME_KEY = "kexue-claim"  # as in kexue.claims


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
    used: dict[str, list[str]] = {}
    for docname in sorted(env.kexue_references):
        for label in env.kexue_references[docname]:
            used.setdefault(label, []).append(docname)
    found = []
    for docname in (name for name in reading_order(env) if name in env.kexue_records):
        for record in env.kexue_records[docname]:
            label = record["label"]
            statement = env.kexue_statements[docname].get(label, {})
            anchor = statement.get("id", label)
            numbers = env.toc_fignumbers.get(docname, {}).values()
            number = next((ids[anchor] for ids in numbers if anchor in ids), ())
            others = [page for page in used.get(label, []) if page != docname]
            found.append(
                {
                    **record,
                    "page": docname,
                    "article": env.titles[docname].astext(),
                    "url": f"{docname}.html#{anchor}",
                    "number": ".".join(map(str, number)),
                    "statement": statement,
                    "used_by": others,
                }
            )
    return found


def reading_order(env: Any) -> list[str]:
    """The pages as the table of contents lists them."""
    return list(env.toctree_includes.get(env.config.root_doc, []))


class Ledger(SphinxDirective):
    """Where the ledger's table stands."""

    def run(self) -> list[nodes.Node]:
        return [nodes.comment("", "", kexue="ledger")]


def fill(app: Any, doctree: nodes.document, docname: str) -> None:
    for place in list(doctree.findall(nodes.comment)):
        if place.get("kexue") == "ledger":
            text = "".join(table(app, docname))
            place.replace_self(nodes.raw("", text, format="html"))


def table(app: Any, docname: str) -> Iterator[str]:
    """The ledger page's HTML: totals, a filter by kind, one table an article."""
    found, up = rows(app.env), "../" * docname.count("/")
    counts = Counter(row["kind"] for row in found)
    rejected = sum(len(row["controls"]) for row in found)
    pages = list(dict.fromkeys(row["page"] for row in found))
    yield (
        f"<p class='kexue-totals'><b>{len(found)}</b> checks on <b>{len(pages)}</b> "
        f"pages, <b>{rejected}</b> wrong versions rejected.</p>"
        "<fieldset class='kexue-filter'><legend>Show</legend>"
    )
    for kind in KINDS:
        yield (
            f"<label><input type='checkbox' value='{kind}' checked> {kind} "
            f"({counts[kind]})</label>"
        )
    yield "</fieldset>"
    for page in pages:
        title = html.escape(app.env.titles[page].astext())
        yield (
            f"<section><h2><a href='{up}{page}.html'>{title}</a></h2>"
            "<div class='kexue-scroll' tabindex='0'><table class='table kexue-ledger'>"
            "<thead><tr><th>Statement<th>Check<th>Found<th>Rejected<th>Used by</tr>"
            "</thead><tbody>"
        )
        seen = set()
        for row in (row for row in found if row["page"] == page):
            anchor = "" if row["label"] in seen else f" id='claim-{row['label']}'"
            seen.add(row["label"])
            yield f"<tr{anchor} data-kind='{row['kind']}'>{cells(row, up)}</tr>"
        yield "</tbody></table></div></section>"


def cells(row: dict[str, Any], up: str) -> str:
    statement, number = row["statement"], row["number"]
    if "tex" in statement:
        tex = html.escape(statement["tex"])
        text = f"<span class='math notranslate nohighlight'>\\({tex}\\)</span>"
        name = f"({number})" if number else row["label"]
    else:
        text = html.escape(statement.get("title", ""))
        name = f"{statement.get('type', '').title()} {number}"
    controls = "".join(
        f"<li>{html.escape(name)}: {html.escape(figure)}"
        for name, figure in row["controls"].items()
    )
    users = ", ".join(f"<a href='{up}{u}.html'>{u}</a>" for u in row["used_by"])
    return (
        f"<td><a href='{up}{row['url']}'>{name}</a> {text}<td>{row['kind']}"
        f"<td>{html.escape(row['figure'])}, {html.escape(row['sample'])}"
        f"<td><ul>{controls}</ul><td>{users}"
    )


def add_ticks(app: Any, page: str, template: str, context: dict, doctree: Any) -> None:
    """Put each statement's tick beside its number; it links to the ledger's row."""
    ledger = "../" * page.count("/") + "book/ledger.html"
    for record in getattr(app.env, "kexue_records", {}).get(page, []):
        label, rejected = record["label"], ", ".join(record["controls"])
        tip = f"{record['kind']}: {record['figure']}. Rejected: {rejected}"
        tick = (
            f"<a class='kexue-tick' href='{ledger}#claim-{label}' "
            f"data-bs-toggle='tooltip' title='{html.escape(tip, quote=True)}' "
            f"aria-label='checked, see the ledger'>✓</a>"
        )
        place = re.compile(
            rf'id="(?:equation-)?{label}".*?(?:<span class="eqno">|'
            rf'<p class="admonition-title"><span class="caption-number">[^<]*</span>)',
            flags=re.S,
        )
        context["body"] = place.sub(
            lambda found, tick=tick: found[0] + tick, context["body"], count=1
        )


def write_json(app: Any, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        path = Path(app.outdir, "book", "ledger.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows(app.env), ensure_ascii=False, indent=1))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("kexue-ledger", Ledger)
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
