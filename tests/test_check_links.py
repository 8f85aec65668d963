"""The part of `make lint` that follows links in Markdown files: it sees what leads nowhere, and nothing else."""

from check_links import find_broken_links


def test_only_links_to_files_that_are_not_there_are_broken(tmp_path):
    (tmp_path / "there.md").touch()
    (tmp_path / "page.md").write_text(
        "[a](there.md) [b](there.md#part) [c](gone.md) ![d](gone.png) [e](#part) [f](https://example.org/x)\n\n"
        "```\n[g](in_code.md)\n```\n",
        encoding="utf-8",
    )
    assert find_broken_links(tmp_path / "page.md") == ["gone.md", "gone.png"]
