"""
The application alone.
"""

from ihatemoney.run import create_app

app = create_app("budget_config")
