"""
The outbox's table as a Django app: ``"cxsdk.outbox.django"`` in ``INSTALLED_APPS``.
"""
