"""The look of the web pages: a Sphinx extension that Jupyter Book loads (`_config.yml`, `local_extensions`).

Environment variables configure a build: `BOOK_URL` is the address of the first page, `BOOK_REPOSITORY` that of the
repository, `BOOK_JUPYTERHUB` that of a class's JupyterHub. Without them the pages are complete, except for what needs
an address (launch buttons, sitemap, social-media cards). With `BOOK_EXECUTE=off` no chapter is executed, and the pages
show the saved outputs.
"""

import os
import tomllib
from pathlib import Path
from urllib.parse import urlparse

from sphinx.application import Sphinx
from sphinx.config import Config

from book_site.cells import PutHiddenCodeLast
from book_site.launch import BRANCH
from book_site.live import add_live, copy_live
from book_site.mathjax import MATHJAX, copy_mathjax
from book_site.pages import dress_page
from book_site.theme import empty_icon_script, lost, name_things, trim_scripts

ROOT = Path(__file__).resolve().parent.parent.parent


def setup(app: Sphinx) -> dict:
    app.config.mathjax_path = MATHJAX
    if os.environ.get("BOOK_EXECUTE") == "off":
        app.config.nb_execution_mode = "off"
    app.config.html_search_scorer = str(ROOT / "_static" / "search_scorer.js")
    app.config.togglebutton_open_on_print = False  # hints and solutions stay closed on paper
    app.config.notfound_urls_prefix = "/"
    if address := os.environ.get("BOOK_URL"):
        app.config.html_baseurl = app.config.ogp_site_url = address.rstrip("/") + "/"
        app.config.notfound_urls_prefix = urlparse(address).path.rstrip("/") + "/"
        app.config.sitemap_url_scheme = "{link}"
        app.config.sitemap_show_lastmod = False
        app.setup_extension("sphinx_sitemap")
        app.setup_extension("sphinxext.opengraph")
        app.config.ogp_social_cards = {
            "image": "book/images/demo.png",
            "image_mini": "toybox/sprite_pictures/cat.webp",
            "line_color": "#e69f00",
        }
    app.config.notfound_context = {"title": "There is no such page", "body": lost(app.config.notfound_urls_prefix)}
    app.setup_extension("notfound.extension")
    app.add_post_transform(PutHiddenCodeLast)
    app.connect("config-inited", set_theme_options)
    app.connect("html-page-context", dress_page)
    app.connect("builder-inited", copy_live)
    app.connect("html-page-context", add_live)
    for last_touch in (trim_scripts, name_things):  # after every other handler
        app.connect("html-page-context", last_touch, priority=999)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", empty_icon_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def set_theme_options(app: Sphinx, config: Config):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    options = config.html_theme_options
    options |= {
        "navbar_persistent": [],  # the sidebar has a search field already
        "logo": {"text": config.html_title},
        "use_sidenotes": True,
        "extra_footer": f"Version {version}. Text: CC BY 4.0. Code: Apache 2.0.",
    }
    config.html_context |= {"default_mode": "auto"}  # light or dark, as set in the reader's system
    if repository := os.environ.get("BOOK_REPOSITORY"):
        options |= {
            "repository_url": repository,
            "repository_branch": BRANCH,
            "use_repository_button": True,
            "launch_buttons": {
                "notebook_interface": "jupyterlab",
                "colab_url": "https://colab.research.google.com",
                "binderhub_url": "https://mybinder.org",
                "jupyterhub_url": os.environ.get("BOOK_JUPYTERHUB", ""),
            },
        }
