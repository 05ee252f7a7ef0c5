"""Where runs live: on disk (`crossfeed.store.disk`) or in memory (`crossfeed.store.memory`)."""
