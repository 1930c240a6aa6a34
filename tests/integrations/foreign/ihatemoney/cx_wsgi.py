"""
The application, and the one line.
"""

from ihatemoney.run import create_app

from cxsdk.integrations.flask import CX

app = create_app("cx_config")
CX(app)
