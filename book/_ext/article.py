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
from urllib.parse import quote

from docutils import nodes
from ledger import reading_order
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

SHOWN_VERSIONS = ("torch", "numpy", "scipy", "sympy", "matplotlib", "scikit-learn")


def articles(env: Any) -> list[str]:
    """The pages that retell an article, in reading order: those that name a source."""
    return [name for name in reading_order(env) if "source" in env.metadata[name]]


def front_matter(env: Any, docname: str) -> dict[str, Any]:
    found = dict(env.metadata[docname])
    tags = found.get("tags", "[]")
    return found | {"tags": json.loads(tags) if isinstance(tags, str) else tags}


def raw(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def link(app: Any, docname: str, target: str) -> str:
    return "../" * docname.count("/") + target


def head(app: Any, docname: str) -> str:
    """What stands under an article's title."""
    env, front = app.env, front_matter(app.env, docname)
    count = len(env.kexue_records.get(docname, []))
    seconds = env.kexue_seconds[docname]
    module = docname.replace("book/", "kexue/", 1).replace("/", ".")
    source = html.escape(front["source"], quote=True)
    repository = app.config.kexue_repository.removeprefix("https://github.com/")
    lab = quote(f"lab/tree/{docname}.md", safe="")
    binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?urlpath={lab}"
    download = link(app, docname, f"_sources/{docname}")
    slug = docname.rpartition("/")[2]
    tags = " ".join(
        f"<a href='{link(app, docname, 'book/articles.html')}#tag-{quote(tag)}'>"
        f"{html.escape(tag)}</a>"
        for tag in front["tags"]
    )
    return (
        f"<div class='kexue-head'><p lang='zh' class='kexue-zh'>"
        f"<a href='{source}'>{html.escape(front['title_zh'])}</a></p>"
        f"<p>After Su Jianlin, <time>{front['date']}</time> · "
        f"<a href='{link(app, docname, 'book/ledger.html')}'>{count} claims checked</a>"
        f" · runs in {seconds:.0f} s · "
        f"<a href='{link(app, docname, 'book/api.html')}#module-{module}'>"
        f"<code>{module}</code></a> · {tags}</p>"
        f"<p class='kexue-buttons'>"
        f"<a download='{slug}.ipynb' href='{download}.ipynb'>Executed notebook</a>"
        f"<a href='{download}.md'>MyST source</a>"
        f"<a href='{binder}'>Run on Binder</a></p></div>"
    )


def cards(app: Any, docname: str) -> Iterator[nodes.Node]:
    """A card an article, grouped by the parts of the table of contents."""
    root = app.env.get_doctree(app.config.root_doc)
    known = set(articles(app.env))
    for tree in root.findall(addnodes.toctree):
        entries = [name for _, name in tree["entries"] if name in known]
        if not entries:
            continue
        yield nodes.rubric("", tree["caption"])
        grid = nodes.container(classes=["kexue-cards"])
        grid += [card(app, docname, name) for name in entries]
        yield grid


def card(app: Any, docname: str, article: str) -> nodes.Node:
    front = front_matter(app.env, article)
    title = app.env.titles[article].astext()
    url = link(app, docname, f"{article}.html")
    count = len(app.env.kexue_records.get(article, []))
    box = nodes.container(classes=["kexue-card"])
    if picture := thumbnail(app, article, front["thumbnail"]):
        box += picture
    box += raw(
        f"<p class='kexue-card-title'><a href='{url}'>{html.escape(title)}</a></p>"
        f"<p lang='zh' class='kexue-zh'>{html.escape(front['title_zh'])}</p>"
        f"<p>{html.escape(front['summary'])}</p>"
        f"<p class='kexue-badge'><span class='kexue-tick'>✓</span> {count} claims</p>"
    )
    return box


def thumbnail(app: Any, article: str, name: str) -> nodes.image | None:
    for figure in app.env.get_doctree(article).findall(nodes.figure):
        picture = figure.next_node(nodes.image)
        if name in figure["names"] and picture is not None:
            picture = deepcopy(picture)
            picture["alt"] = ""  # the title beside it says what the card is
            return picture
    logger.error("thumbnail %r is the name of no figure", name, location=article)
    return None


def by_date(app: Any, docname: str) -> Iterator[nodes.Node]:
    rows = "".join(
        f"<tr><td><time>{front['date']}</time>"
        f"<td><a href='{link(app, docname, name)}.html'>"
        f"{html.escape(app.env.titles[name].astext())}</a>"
        f"<td lang='zh'>{html.escape(front['title_zh'])}</tr>"
        for _, name, front in dated(app.env)
    )
    yield raw(
        "<div class='kexue-scroll' tabindex='0'><table class='table'><thead><tr>"
        f"<th>Original<th>Article<th>Title</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def by_tag(app: Any, docname: str) -> Iterator[nodes.Node]:
    tags: dict[str, list[str]] = {}
    for _, name, front in dated(app.env):
        for tag in front["tags"]:
            title = html.escape(app.env.titles[name].astext())
            tags.setdefault(tag, []).append(
                f"<a href='{link(app, docname, name)}.html'>{title}</a>"
            )
    items = "".join(
        f"<dt id='tag-{quote(tag)}'>{html.escape(tag)}<dd>{', '.join(tags[tag])}"
        for tag in sorted(tags)
    )
    yield raw(f"<dl class='kexue-tags'>{items}</dl>")


def dated(env: Any) -> list[tuple[str, str, dict[str, Any]]]:
    fronts = [(name, front_matter(env, name)) for name in articles(env)]
    return sorted((front["date"], name, front) for name, front in fronts)


def versions(app: Any, docname: str) -> Iterator[nodes.Node]:
    found = [("Python", platform.python_version())]
    found += [(name, metadata.version(name)) for name in SHOWN_VERSIONS]
    rows = "".join(f"<tr><td>{name}<td>{version}</tr>" for name, version in found)
    yield raw(f"<table class='table kexue-narrow'><tbody>{rows}</tbody></table>")


MAKERS: dict[str, Callable[[Any, str], Iterator[nodes.Node]]] = {
    "kexue-cards": cards,
    "kexue-by-date": by_date,
    "kexue-by-tag": by_tag,
    "kexue-versions": versions,
}


class Place(SphinxDirective):
    """A place that is filled once every page is read."""

    def run(self) -> list[nodes.Node]:
        return [nodes.comment("", "", kexue=self.name)]


def fill(app: Any, doctree: nodes.document, docname: str) -> None:
    for place in list(doctree.findall(nodes.comment)):
        if maker := MAKERS.get(place.get("kexue", "")):
            place.replace_self(list(maker(app, docname)))
    if docname in articles(app.env):
        title = doctree.next_node(nodes.title)
        title.parent.insert(title.parent.index(title) + 1, raw(head(app, docname)))


def describe_sliders(app: Sphinx, doctree: nodes.document) -> None:
    """Give a slider's drawing the alternative text of its cell, as images have it."""
    for cell in doctree.findall(nodes.container):
        options = cell.get("cell_metadata", {}).get("mystnb", {}).get("image", {})
        if "alt" not in options:
            continue
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
    return {"parallel_read_safe": True, "parallel_write_safe": True}
