"""
cxsdk as a Django app: ``"cxsdk.integrations.django"`` in ``INSTALLED_APPS``.
"""
