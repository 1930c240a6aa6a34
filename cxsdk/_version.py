"""
The version, as a constant: reading it from package metadata costs 10 ms at import.
"""

__version__ = "0.1.0"
