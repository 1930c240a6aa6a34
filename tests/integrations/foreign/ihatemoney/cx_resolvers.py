"""
Whom a request of ihatemoney serves, and what they agreed to: it has no users, but projects.
"""

from flask import session


def household(request):
    """
    The project that the browser opened last.
    """
    return next(iter(session.get("projects", ())), None)


def consent(request):
    """
    What the banner in front of the application keeps in a cookie.
    """
    return request.cookies.get("consent")
