"""Build one page with the index, the ledger and the API around it, and nothing else.

References to other articles' statements cannot resolve in such a build; they are
reported, and the page is written all the same.
"""

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def main(page: str) -> int:
    if not (ROOT / "book" / f"{page}.md").exists():
        print(f"no page book/{page}.md", file=sys.stderr)
        return 1
    output = ROOT / "_build" / "article" / page.replace("/", "-")
    output.mkdir(parents=True, exist_ok=True)
    around = ["reading", "articles", "ledger", "api", "references"]
    parts = [
        {
            "caption": page.split("/")[0].title(),
            "numbered": 1,
            "chapters": [{"file": f"book/{page}"}],
        },
        {
            "caption": "Behind the pages",
            "chapters": [{"file": f"book/{name}"} for name in around],
        },
    ]
    toc = output / "_toc.yml"
    toc.write_text(
        yaml.safe_dump({"format": "jb-book", "root": "book/index", "parts": parts})
    )
    builder = Path(sys.executable).with_name("jupyter-book")
    command = [str(builder), "build", ".", "--toc", str(toc)]
    command += ["--path-output", str(output)]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    print(f"\n{output / '_build' / 'html' / 'book' / page}.html")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
