"""What mkdocs runs while it builds the site: pages outside docs/ join it, and nothing on a page comes from elsewhere.

Links in the repository's pages are relative to their place in the repository, so that they work on a code host. In the
site docs/ is the root, and other pages keep their paths: each link is rewritten to the same target there. A file that
a page links to and that is not a page, such as an example, is copied into the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "examples/README.md", "grammar/README.md")
"""Pages outside docs/, by their paths in the repository; the first is the home page."""

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")
"""The target of a relative link or picture, without its anchor."""
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc(?:set)?=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b(?![^>]*\brel=["']?(?:canonical|next|prev)\b)[^>]*\bhref=["']?(?:https?:)?//[^>]*>"""
)
"""What a browser would fetch from another host."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, and every file that a page links to."""
    for page in PAGES:
        files.append(File.generated(config, page, abs_src_path=str(ROOT / page)))
    for file in [file for file in files if file.is_documentation_page()]:
        for target in LINK.findall(file.content_string):
            path = _in_repository(file.src_uri, target)
            if (ROOT / path).is_file() and files.get_file_from_path(_in_site(path)) is None:
                files.append(File.generated(config, _in_site(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page to their places in the site, and drop the comments that only tests read."""
    here = posixpath.dirname(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        return posixpath.relpath(_in_site(_in_repository(page.file.src_uri, link[1])), here or ".")

    return re.sub(r"^<!-- .* -->\n", "", LINK.sub(moved, markdown), flags=re.MULTILINE)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Raise PluginError where a page would fetch something from another host."""
    if found := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri}: the page fetches from another host: {found[0]}")
    return output


def _in_repository(page: str, target: str) -> str:
    """The repository path that a link of a page (by its path in the site) leads to."""
    folder = posixpath.dirname(page if page in PAGES else f"docs/{page}")
    return posixpath.normpath(posixpath.join(folder, target))


def _in_site(path: str) -> str:
    """The path in the site of a path in the repository."""
    return path.removeprefix("docs/")
