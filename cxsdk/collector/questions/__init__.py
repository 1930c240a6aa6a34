"""
Questions over many customers that somebody should act on: what is due, who was affected, who is
silent.

Each answer is plain data with its denominators, the same over HTTP, on a page and at the command
line.
"""
