"""python -m docs.site PAGES | python -m docs.site --check SITE: the pages that the site is built from, and its links.

Pages keep their places, so that links between them hold as they are in the repository. What is no page of the site (a
source file, a folder) becomes a link into the repository.
"""

from __future__ import annotations

import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/*.md",
    "benchmarks/*/README.md",
    "clients/README.md",
)
PICTURES = (".svg", ".png", ".webp")
LINK = re.compile(r"(\]\(|(?:src|srcset)=\")(?!https?:|#|mailto:)([^)#\"\s]+)([^)\"]*)")


def repository() -> str:
    """Its address, as pyproject.toml has it."""
    return str(re.findall(r'^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)[0])


def absolute(text: str, folder: Path, *, keep: frozenset[Path] = frozenset()) -> str:
    """Markdown of a page in `folder`; its links to files of the repository, but for `keep`, lead there on the web."""

    def link(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        if target in keep:
            return match[0]
        kind = "raw" if target.suffix in PICTURES else "blob"
        return f"{match[1]}{repository()}/{kind}/main/{target.relative_to(ROOT)}{match[3]}"

    return LINK.sub(link, text)


def write_pages(into: Path) -> None:
    """All pages, and the pictures in them, below `into`."""
    pages = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    pictures = {(page.parent / match[2]).resolve() for page in pages for match in LINK.finditer(page.read_text())}
    pictures = {path for path in pictures if path.suffix in PICTURES and path.is_file()}
    shutil.rmtree(into, ignore_errors=True)
    for path in (*pages, *pictures):
        target = into / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in pictures:
            shutil.copyfile(path, target)
        else:
            target.write_text(absolute(path.read_text(), path.parent, keep=frozenset((*pages, *pictures))))


class _Page(HTMLParser):
    """What a page of the site leads to, and what can be led to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value and name in ("href", "src", "srcset"):
                self.links.add(value)
            elif value and name in ("id", "name"):
                self.anchors.add(value)


def dead_links(site: Path) -> list[str]:
    """Links from a page of the site to what is not there, and whatever a browser would load from elsewhere."""
    pages = {path: _Page(path.read_text()) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    dead = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            missing = not target.is_file()
            if missing or (parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors):
                dead.append(f"{path.relative_to(site)} leads to {link}")
    return dead


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        sys.exit("\n".join(dead_links(Path(sys.argv[2]).resolve())) or None)
    write_pages(Path(sys.argv[1]))
