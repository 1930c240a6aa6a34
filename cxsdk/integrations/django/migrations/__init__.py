"""
Migrations of the cap store's tables.
"""
