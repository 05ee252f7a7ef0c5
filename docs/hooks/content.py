"""Formulas become MathML when the site is built: the reader's browser needs no script and no network for them.

`pymdownx.arithmatex` marks what stands between dollars; here each mark's TeX is turned into MathML. Figures become
links to themselves, since many have panels that a narrow window makes too small to read.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_FIGURE = re.compile(r'<p>(<img [^>]*src="([^"]+)"[^>]*/?>)</p>')
_DISPLAY = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)


def on_page_content(html: str, **_: Any) -> str:
    """The page with its formulas as MathML; a wide one scrolls within its own line."""
    html = _FIGURE.sub(r'<p><a href="\2" title="Full size">\1</a></p>', html)
    html = _INLINE.sub(lambda found: convert(unescape(found[1]).strip()), html)
    return _DISPLAY.sub(
        lambda found: f'<div class="formula" tabindex="0">{convert(unescape(found[1]).strip(), display="block")}</div>',
        html,
    )
