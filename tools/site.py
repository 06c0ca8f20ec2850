"""The hook of mkdocs.yml: pages of the whole repository, at the places that they have in it, and what they link to.

The tutorial becomes a page.
"""

import re
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

TOP = Path(__file__).resolve().parent.parent
PAGES = (
    "*.md",
    "docs/*.md",
    "docs/*.css",
    "docs/*.ipynb",
    "egs/*/README.md",
    "egs/*/RESULTS.md",
)
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Replace the files of docs/ by all pages, and all files that these link to."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    pages = sorted(path for pattern in PAGES for path in TOP.glob(pattern))
    linked = {target for page in pages if page.suffix == ".md" for target in targets(page) if target.is_file()}
    for path in [*pages, *sorted(linked - set(pages))]:
        files.append(File(str(path.relative_to(TOP)), str(TOP), config.site_dir, use_directory_urls=False))
    for path in TOP.glob("docs/*.ipynb"):
        name = str(path.relative_to(TOP).with_suffix(".md"))
        files.append(File.generated(config, name, content=notebook_page(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to a folder lead to its README, and to a notebook to its page; other folders have no page."""
    here = (TOP / page.file.src_uri).parent

    def whole(link: re.Match[str]) -> str:
        target = here / link[2]
        if (target / "README.md").is_file():
            return f"{link[1]}{link[2].rstrip('/')}/README.md{link[3]}"
        if target.suffix == ".ipynb" and page.file.src_uri != str(target.relative_to(TOP).with_suffix(".md")):
            return f"{link[1]}{link[2].removesuffix('.ipynb')}.md{link[3]}"
        return link[1][1:-2] if target.is_dir() else link[0]

    return LINK.sub(whole, markdown)


def targets(page: Path) -> set[Path]:
    """Return what a page's links lead to in the repository."""
    found = {(page.parent / link[2]).resolve() for link in LINK.finditer(page.read_text("utf-8"))}
    return {path for path in found if path.is_relative_to(TOP)}


def notebook_page(path: Path) -> str:
    """Return a notebook's text and code as a page."""
    cells = nbformat.read(path, as_version=4).cells
    parts = [cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```" for cell in cells]
    return "\n\n".join([*parts, f"This page is the notebook [{path.name}]({path.name})."]) + "\n"
