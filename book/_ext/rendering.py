"""Fill the templates beside this file; what both other extensions draw with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from jinja2 import Environment, FileSystemLoader
from sphinx.util.docutils import SphinxDirective

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True
)
TEMPLATES.filters["slug"] = nodes.make_id


def render(template: str, docname: str, **context: Any) -> nodes.raw:
    """The template as a node for the page `docname`; `up` leads to the site's root."""
    text = render_text(template, docname, **context)
    return nodes.raw("", text, format="html")


def render_text(template: str, docname: str, **context: Any) -> str:
    up = "../" * docname.count("/")
    page = TEMPLATES.get_template(f"{template}.html")
    return page.render(up=up, page=docname, **context).strip()


def titles(env: Any) -> dict[str, str]:
    return {docname: title.astext() for docname, title in env.titles.items()}


def reading_order(env: Any) -> list[str]:
    """The pages as the table of contents lists them."""
    return list(env.toctree_includes.get(env.config.root_doc, []))


class Place(SphinxDirective):
    """A place that its extension fills once every page is read."""

    def run(self) -> list[nodes.Node]:
        return [nodes.comment("", "", kexue=self.name)]


def places(doctree: nodes.document, name: str) -> list[nodes.comment]:
    return [
        node for node in doctree.findall(nodes.comment) if node.get("kexue") == name
    ]
