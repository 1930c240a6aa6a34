"""
The smallest settings with which ihatemoney runs on SQLite alone: nothing of cxsdk is in them.
"""

import os

SECRET_KEY = "only for this test"
SQLALCHEMY_DATABASE_URI = f"sqlite:///{os.environ['BUDGET_FOLDER']}/budget.sqlite3"
SESSION_COOKIE_SECURE = False  # plain HTTP on the loopback
MAIL_SUPPRESS_SEND = True
RATELIMIT_ENABLED = False  # it allows 3 logins a minute from one address
ACTIVATE_DEMO_PROJECT = False
