"""The embedded fonts of PDF figures: the outlines of the letters that a figure has, and nothing else."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Collection, Iterator
from typing import Any, Final

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from matplotlib.backends import _backend_pdf_ps

__all__ = ["outlines_alone"]

# What a PDF needs of a TrueType font (ISO 32000-1, 9.9). It places every glyph itself, so that the rules of kerning and
# ligatures, which take nine tenths of the time to read and cut, would be there for nobody.
_EMBEDDED: Final = frozenset({"head", "hhea", "maxp", "hmtx", "loca", "glyf", "cvt ", "fpgm", "prep"})
_AS_IT_IS: Final = {"recalcBBoxes": False, "recalcTimestamp": False}


@contextlib.contextmanager
def outlines_alone() -> Iterator[None]:
    """Within this context matplotlib embeds outlines of glyphs alone, as fonts of Type 42."""
    module: Any = _backend_pdf_ps
    if not hasattr(module, "SubsetResults"):  # an older one, whose function has other arguments
        yield
        return
    usual = module.get_glyphs_subset
    module.get_glyphs_subset = _subset
    try:
        yield
    finally:
        module.get_glyphs_subset = usual


def _subset(fontfile: Any, glyphs: Collection[int]) -> contextlib.AbstractContextManager[Any]:
    """Return glyphs of a font file, as matplotlib's function of the same arguments does."""
    content, places = _outlines(fontfile, fontfile.face_index, frozenset(glyphs))
    module: Any = _backend_pdf_ps
    return contextlib.nullcontext(module.SubsetResults(TTFont(io.BytesIO(content), lazy=True, **_AS_IT_IS), places))


@functools.lru_cache(64)
def _outlines(path: str, face: int, glyphs: frozenset[int]) -> tuple[bytes, dict[int, int]]:
    """Return a font file of some glyphs, and where they are in it."""
    with TTFont(path, fontNumber=face, lazy=True, **_AS_IT_IS) as font:
        for name in set(font.keys()) - _EMBEDDED - {"GlyphOrder"}:
            del font[name]
        font.setGlyphOrder([f"glyph{number}" for number in range(font["maxp"].numGlyphs)])
        cut = Subsetter(Options(notdef_outline=True, recommended_glyphs=True, glyph_names=True, recalc_bounds=False))
        cut.populate(gids=glyphs)
        cut.subset(font)
        buffer = io.BytesIO()
        font.save(buffer, reorderTables=False)
    return buffer.getvalue(), dict(cut.glyph_index_map)
