"""Values as people see them, which answers: how is a value shown in a terminal, a log or a notebook?"""
