"""Values as they are shown in a terminal, a log or a notebook."""
