"""What surrounds the articles: their heads, the cards, the indexes and the versions.

All of it is made from the pages' front matter, their records and their run times.
"""

from __future__ import annotations

import html
import json
import platform
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib import metadata
from typing import Any

from docutils import nodes
from rendering import Place, places, reading_order, render, titles
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

SHOWN_VERSIONS = ("torch", "numpy", "scipy", "sympy", "matplotlib", "scikit-learn")


def articles(env: Any) -> dict[str, dict[str, Any]]:
    """The front matter of each page that retells an article, in reading order."""
    fronts = {name: dict(env.metadata[name]) for name in reading_order(env)}
    return {
        # MyST hands lists over as JSON
        name: front | {"tags": json.loads(front["tags"])}
        for name, front in fronts.items()
        if "source" in front
    }


def count_claims(env: Any, docname: str) -> int:
    """Statements with a check; one may have several."""
    return len({record["label"] for record in env.kexue_records.get(docname, [])})


def head(app: Any, docname: str, front: dict[str, Any]) -> nodes.Node:
    """What stands under an article's title."""
    return render(
        "head",
        docname,
        front=front,
        count=count_claims(app.env, docname),
        seconds=app.env.kexue_seconds[docname],
        module=docname.replace("book/", "kexue/", 1).replace("/", "."),
        repository=app.config.kexue_repository.removeprefix("https://github.com/"),
    )


def cards(app: Any, docname: str) -> Iterator[nodes.Node]:
    """A card an article, grouped by the parts of the table of contents."""
    root = app.env.get_doctree(app.config.root_doc)
    known = articles(app.env)
    for tree in root.findall(addnodes.toctree):
        entries = [name for _, name in tree["entries"] if name in known]
        if entries:
            yield nodes.rubric("", tree["caption"])
            grid = nodes.container(classes=["kexue-cards"])
            grid += [card(app, docname, name, known[name]) for name in entries]
            yield grid


def card(app: Any, docname: str, page: str, front: dict[str, Any]) -> nodes.Node:
    count, title = count_claims(app.env, page), titles(app.env)[page]
    context = {"front": front, "count": count, "title": title, "target": page}
    box = nodes.container(classes=["kexue-card"])
    box += thumbnail(app, page, front["thumbnail"])
    box += render("card", docname, **context)
    return box


def thumbnail(app: Any, page: str, name: str) -> list[nodes.Node]:
    for figure in app.env.get_doctree(page).findall(nodes.figure):
        picture = figure.next_node(nodes.image)
        if name in figure["names"] and picture is not None:
            picture = deepcopy(picture)
            picture["alt"] = ""  # the title beside it says what the card is
            return [picture]
    logger.error("thumbnail %r is the name of no figure", name, location=page)
    return []


def dates(app: Any, docname: str) -> Iterator[nodes.Node]:
    found = sorted(articles(app.env).items(), key=lambda item: item[1]["date"])
    yield render("dates", docname, articles=found, titles=titles(app.env))


def tags(app: Any, docname: str) -> Iterator[nodes.Node]:
    found = articles(app.env)
    used = sorted({tag for front in found.values() for tag in front["tags"]})
    context = {"articles": list(found.items()), "titles": titles(app.env)}
    yield render("tags", docname, tags=used, **context)


def versions(app: Any, docname: str) -> Iterator[nodes.Node]:
    found = [(name, metadata.version(name)) for name in SHOWN_VERSIONS]
    python = ("Python", platform.python_version())
    yield render("versions", docname, versions=[python, *found])


MAKERS: dict[str, Callable[[Any, str], Iterator[nodes.Node]]] = {
    "kexue-cards": cards,
    "kexue-dates": dates,
    "kexue-tags": tags,
    "kexue-versions": versions,
}


def fill(app: Any, doctree: nodes.document, docname: str) -> None:
    for name, maker in MAKERS.items():
        for place in places(doctree, name):
            place.replace_self(list(maker(app, docname)))
    if front := articles(app.env).get(docname):
        title = doctree.next_node(nodes.title)
        title.parent.insert(title.parent.index(title) + 1, head(app, docname, front))


def link_users(app: Any, doctree: nodes.document, docname: str) -> None:
    """Say beneath each documented name which articles use it."""
    known, found = titles(app.env), articles(app.env)
    for description in doctree.findall(addnodes.desc):
        names = {name for node in description[:-1] for name in node["ids"]}
        users = {
            page: known[page] for page in found if names & app.env.kexue_names[page]
        }
        if users:
            description[-1] += render("users", docname, users=users)


def describe_sliders(app: Sphinx, doctree: nodes.document) -> None:
    """Give a slider's drawing the alternative text of its cell, as images have it."""
    for cell in doctree.findall(nodes.container):
        options = cell.get("cell_metadata", {}).get("mystnb", {}).get("image", {})
        if "alt" in options:
            alt = html.escape(options["alt"], quote=True)
            for output in cell.findall(nodes.raw):
                text = output.astext().replace(
                    "<div role='img'>", f'<div role="img" aria-label="{alt}">'
                )
                output.children = [nodes.Text(text)]


def without_thebe(app: Any) -> None:
    """Drop a plug-in of Jupyter Book that loads its scripts from elsewhere."""
    for event, listeners in app.events.listeners.items():
        kept = [
            entry for entry in listeners if entry.handler.__module__ != "sphinx_thebe"
        ]
        app.events.listeners[event] = kept


def setup(app: Sphinx) -> dict[str, bool]:
    for name in MAKERS:
        app.add_directive(name, Place)
    app.connect("builder-inited", without_thebe)
    app.connect("doctree-read", describe_sliders)
    app.connect("doctree-resolved", fill)
    app.connect("doctree-resolved", link_users)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
