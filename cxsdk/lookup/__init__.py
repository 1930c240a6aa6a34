"""
Knowing the customer: lookup, cache, overlay, identity.
"""
