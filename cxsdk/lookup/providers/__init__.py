"""
Context providers: one file for each kind of source.
"""
