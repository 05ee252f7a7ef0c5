"""Reading files as people have them: every value comes out as the text that was written."""
