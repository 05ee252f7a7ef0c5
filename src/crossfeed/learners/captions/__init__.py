"""Language models that read images as text and write what is on them.

Importing this package, and `crossfeed.learners.captions.settings`, needs no torch; `CaptionsSettings.build` does.
"""

from crossfeed.learners.captions.settings import CaptionsSettings

__all__ = ["CaptionsSettings"]
