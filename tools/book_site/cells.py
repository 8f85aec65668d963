"""Puts the button "Show the code" below what its cell shows: a reader wants the figure first."""

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.transforms.post_transforms import SphinxPostTransform


class PutHiddenCodeLast(SphinxPostTransform):
    """In a cell whose code is hidden, the output comes before the code."""

    default_priority = 300  # after myst-nb has hidden the code
    formats = ("html",)

    def run(self, **kwargs):
        for cell in self.document.findall(nodes.container):
            if cell.get("hide_mode") == "input" and isinstance(cell[0], HideCodeCellNode):
                cell.append(cell.pop(0))
