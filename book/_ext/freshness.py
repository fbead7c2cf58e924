"""What a page's results depend on besides its own cells, as one hash a page."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import grimp
from nbformat import NotebookNode


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def syntax_trees(notebook: NotebookNode) -> Iterator[tuple[int, ast.Module]]:
    """The code cells, counted from 1 and parsed without their lines of magic."""
    for number, cell in enumerate(code_cells(notebook), 1):
        try:
            yield number, ast.parse(re.sub(r"^[%!].*$", "", cell.source, flags=re.M))
        except SyntaxError:  # the kernel will say so better than we could
            continue


def used_names(notebook: NotebookNode) -> set[str]:
    """Dotted names of what the code cells take from `kexue`: modules and members.

    After `from kexue import claims`, the call `claims.equal(...)` uses
    `kexue.claims.equal`.
    """
    full: dict[str, str] = {}
    nodes = [node for _, tree in syntax_trees(notebook) for node in ast.walk(tree)]
    for node in nodes:
        if isinstance(node, ast.Import):
            full |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    members = {
        f"{full[node.value.id]}.{node.attr}"
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in full
    }
    names = {*full.values(), *members}
    return {name for name in names if name.split(".")[0] == "kexue"}


class Digests:
    """Hashes of the modules that a page imports, the installed versions and the seed.

    The graph of imports is read from the sources: the package itself is not imported.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        sys.path.insert(0, str(root))
        try:
            self.graph = grimp.build_graph("kexue", cache_dir=None)
        finally:
            sys.path.remove(str(root))
        versions = {f"{dist.name}=={dist.version}" for dist in metadata.distributions()}
        seed = os.environ.get("KEXUE_SEED", "0")
        self.setting = "\n".join([sys.version, seed, *sorted(versions)])

    def modules(self, names: set[str]) -> set[str]:
        """The modules that run when a page imports these names, packages included."""
        found: set[str] = set()
        for name in names:
            while name not in self.graph.modules:  # a member stands for its module
                name = name.rpartition(".")[0]
            found |= {name} | self.graph.find_upstream_modules(name)
        parts = [name.split(".") for name in found]
        return {
            ".".join(part[:end]) for part in parts for end in range(1, len(part) + 1)
        }

    def of(self, names: set[str]) -> str:
        """The digest of a page that uses these names, as `used_names` finds them."""
        digest = hashlib.sha256(self.setting.encode())
        for name in sorted(self.modules(names)):
            path = Path(self.root, *name.split("."))
            source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            digest.update(name.encode() + source.read_bytes())
        return digest.hexdigest()
