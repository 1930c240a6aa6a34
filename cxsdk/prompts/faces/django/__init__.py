"""
Prompts in Django: ``"cxsdk.prompts.faces.django"`` in ``INSTALLED_APPS`` brings
``{% load cx_prompts %}{% cx_prompt offer %}``; ``view`` and ``urls`` mount the endpoint.
"""
