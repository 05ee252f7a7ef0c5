"""The explorer: a local page on which exact theory follows sliders, or a run is watched while it goes on.

`settings`, `answer` and `landscape` say what is asked and what theory answers; they know of no page. `page` and `watch`
put it on a page of the Bokeh server, which `server` runs on this machine alone.
"""
