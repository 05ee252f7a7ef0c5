"""What people, disks and strangers may hand to the program, and what its answer must name.

`texts` holds whole files, `fields` holds changes to a valid description, `commands` holds command lines.
"""
