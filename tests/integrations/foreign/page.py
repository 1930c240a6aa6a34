"""
A customer with a browser that knows forms, and nothing of scripts.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin

import httpx

__all__ = ["Page"]

_TOKENS = re.compile(r'((?:csrfmiddlewaretoken|csrf_token)"[^>]*value="|/feed/)[^"]+')
"""What is another one each time: of forms, and of feeds."""

_CLOCK = re.compile(r"\b\d{1,2}:\d\d\b")

_KEPT = ("content-type", "content-language", "cache-control", "expires", "location", "vary")


class Page:
    """
    The last answer, and what was seen on the way. A context manager.
    """

    def __init__(self, base, token, **cookies):
        self.client = httpx.Client(base_url=base, follow_redirects=True, timeout=30)
        self.client.cookies.update(cookies)
        self.base = base
        self.token = token
        self.answer = None
        self.seen = []
        """Method, path, status, headers, names of cookies that were set, body without tokens and times."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def get(self, path, status=200):
        return self._keep(self.client.get(path), status)

    def post(self, action, /, status=200, **fields):
        """
        Post a form of the page that is open, with its token.
        """
        tag = re.search(rf'<input[^>]*name="{self.token}"[^>]*>', self.answer.text)[0]
        fields = {self.token: re.search(r'value="([^"]+)"', tag)[1], **fields}
        url = urljoin(str(self.answer.url), action)
        referer = {"Referer": str(self.answer.url)}
        return self._keep(self.client.post(url, data=fields, headers=referer), status)

    def find(self, expression):
        """
        Return what *expression* finds on the page.
        """
        return re.search(expression, self.answer.text)[1]

    def has(self, text):
        assert text in self.answer.text, (str(self.answer.url), text, self.answer.text[-3000:])
        return self

    def _keep(self, answer, status):
        for each in (*answer.history, answer):
            cookies = sorted(
                re.match(r"[^=]+", one)[0] for one in each.headers.get_list("set-cookie")
            )
            place = (each.request.method, each.request.url.path, each.status_code)
            body = _CLOCK.sub("…", _TOKENS.sub(r"\1…", each.text.replace(self.base, "")))
            headers = {
                name: each.headers[name].replace(self.base, "")
                for name in _KEPT
                if name in each.headers
            }
            self.seen.append((*place, headers, cookies, body))
        self.answer = answer
        assert answer.status_code == status, (answer.status_code, answer.url, answer.text[-3000:])
        return self
