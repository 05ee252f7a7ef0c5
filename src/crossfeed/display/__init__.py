"""Values as people see them: texts, progress, and pictures of values in a notebook."""
