"""Follow every link of the built site: ``python docs/links.py docs/_build/html``.

Those within the site must lead somewhere; ``--external`` lists the others instead, for
whoever has a network. Whatever a page would load from elsewhere to be read is an error.
"""

from __future__ import annotations

import argparse
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit


def pages_of(site: Path) -> dict[Path, Page]:
    """Return the pages by path; what a theme keeps in ``_static`` is no page."""
    paths = (path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts)
    return {path: Page(path.read_text(encoding="utf-8")) for path in paths}


class Page(HTMLParser):
    """The links of a page, what it loads, and the places that a link can point at."""

    def __init__(self, content: str):
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors = {""}
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what one element refers to."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon"):
            self.loaded.append(given["href"])
        elif "href" in given:
            self.links.append(given["href"])


def is_external(link: str) -> bool:
    """Say whether a link leaves the site."""
    return bool(urlsplit(link).scheme or urlsplit(link).netloc)


def broken_links(site: Path) -> list[str]:
    """Return one line for each link that leads nowhere and for each thing loaded from afar."""
    pages = pages_of(site)
    broken = []
    for path, page in pages.items():
        name = path.relative_to(site)
        far = [link for link in page.loaded if is_external(link) and link[:5] != "data:"]
        broken += [f"{name}: loads {link}" for link in far]
        for link in page.links + page.loaded:
            if is_external(link):
                continue
            address, fragment = urldefrag(link)
            target = path if not address else path.parent / unquote(urlsplit(address).path)
            target = target.resolve()
            if not target.exists():
                broken.append(f"{name}: no file for {link}")
            elif target in pages and unquote(fragment) not in pages[target].anchors:
                broken.append(f"{name}: no anchor for {link}")
    return broken


def external_links(site: Path) -> list[str]:
    """Return the addresses outside the site, each once."""
    return sorted(
        {link for page in pages_of(site).values() for link in page.links if is_external(link)}
    )


def main() -> None:
    """Print what is asked for; fail where a link is broken."""
    parser = argparse.ArgumentParser(description="Follow every link of the built site.")
    parser.add_argument("site", type=Path)
    parser.add_argument("--external", action="store_true", help="list links that leave it")
    options = parser.parse_args()
    site = options.site.resolve()
    if not (site / "index.html").exists():
        sys.exit(f"{site} holds no index.html: build the site first.")
    lines = external_links(site) if options.external else broken_links(site)
    print("\n".join(lines) if lines else "Every link within the site leads somewhere.")
    sys.exit(bool(lines) and not options.external)


if __name__ == "__main__":
    main()
