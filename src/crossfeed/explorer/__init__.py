"""The explorer: a local page on which exact theory follows sliders, or a run is watched while it goes on.

`sliders`, `answer` and `landscape` hold the question and theory's answer; they know of no page. `theory_page` and
`run_page` put it on a page of the Bokeh server, which `server` runs on this machine alone.
"""
