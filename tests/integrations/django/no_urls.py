"""
No URLs at all.
"""

urlpatterns = []
