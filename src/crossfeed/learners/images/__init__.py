"""Class-conditional generators of small images, trained from scratch by flow matching.

Importing this package, and `crossfeed.learners.images.settings`, needs no torch; `ImagesSettings.build` does.
"""

from crossfeed.learners.images.settings import ImagesSettings

__all__ = ["ImagesSettings"]
