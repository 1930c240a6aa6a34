"""
What a visitor of the shop agreed to.
"""


def consent(request):
    """
    What the banner in front of the shop keeps in a cookie.
    """
    return request.COOKIES.get("consent")
