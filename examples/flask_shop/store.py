"""
The shop's own database: members, orders, cases. Nothing here knows of cxsdk.
"""

import os
import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

import flask
from werkzeug.security import check_password_hash, generate_password_hash

PRODUCTS = {
    "espresso": {"name": "Espresso machine", "cents": 34900, "years": 2, "note": "Nine bars."},
    "grinder": {"name": "Coffee grinder", "cents": 12900, "years": 2, "note": "Steel burrs."},
    "kettle": {"name": "Kettle", "cents": 5900, "years": 1, "note": "Holds its temperature."},
    "beans": {"name": "Beans, 1 kg", "cents": 2400, "years": 0, "note": "Roasted this week."},
}
TABLES = """
CREATE TABLE IF NOT EXISTS members (
    id TEXT PRIMARY KEY, login TEXT UNIQUE, name TEXT, secret TEXT, since TEXT, is_agent INTEGER);
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, customer TEXT, day TEXT, cents INTEGER, arrived INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS items (order_id TEXT, sku TEXT);
CREATE TABLE IF NOT EXISTS cases (
    id TEXT PRIMARY KEY, customer TEXT, order_id TEXT, subject TEXT, is_open INTEGER DEFAULT 1);
CREATE TABLE IF NOT EXISTS messages (case_id TEXT, author TEXT, text TEXT, at TEXT);
"""


def today():
    """The day; SHOP_TODAY lets two years pass."""
    said = os.environ.get("SHOP_TODAY")
    return date.fromisoformat(said) if said else datetime.now().astimezone().date()


def db():
    if "db" not in flask.g:
        path = os.environ.get("SHOP_DB") or Path(flask.current_app.root_path) / "shop.db"
        flask.g.db = sqlite3.connect(path, timeout=10, isolation_level=None)
        flask.g.db.row_factory = sqlite3.Row
    return flask.g.db


def prepare():
    db().executescript(TABLES)
    join("agent", "The care team", "agent", is_agent=True)


def close(_error):
    found = flask.g.pop("db", None)
    if found is not None:
        found.close()


def one(sql, *values):
    return db().execute(sql, values).fetchone()


def rows(sql, *values):
    return db().execute(sql, values).fetchall()


def do(sql, *values):
    db().execute(sql, values)


def new_id():
    return os.urandom(4).hex()


# ---- members ----------------------------------------------------------------------------------


def join(login, name, password, *, is_agent=False):
    """Return the id of a new member, None where the login is taken."""
    key, since = f"c-{new_id()}", datetime.now(UTC).isoformat()
    secret = generate_password_hash(password)
    sql = "INSERT OR IGNORE INTO members VALUES (?, ?, ?, ?, ?, ?)"
    made = db().execute(sql, (key, login, name, secret, since, is_agent))
    return key if made.rowcount else None


def knows(login, password):
    """Return the member whose password this is."""
    found = one("SELECT * FROM members WHERE login = ?", login)
    return found if found and check_password_hash(found["secret"], password) else None


def member(key):
    return one("SELECT * FROM members WHERE id = ?", key)


# ---- orders -----------------------------------------------------------------------------------


def place(order, customer, skus):
    cents = sum(PRODUCTS[sku]["cents"] for sku in skus)
    sql = "INSERT INTO orders (id, customer, day, cents) VALUES (?, ?, ?, ?)"
    do(sql, order, customer, today().isoformat(), cents)
    for sku in skus:
        do("INSERT INTO items VALUES (?, ?)", order, sku)


def order(key):
    return one("SELECT * FROM orders WHERE id = ?", key)


def orders_of(customer):
    return rows("SELECT * FROM orders WHERE customer = ? ORDER BY rowid DESC", customer)


def items_of(key):
    found = rows("SELECT sku FROM items WHERE order_id = ?", key)
    return [PRODUCTS[row["sku"]] | {"sku": row["sku"]} for row in found]


# ---- cases ------------------------------------------------------------------------------------


def write(case, author, text):
    at = datetime.now(UTC).strftime("%d %b, %H:%M")
    do("INSERT INTO messages VALUES (?, ?, ?, ?)", case, author, text, at)


def open_case(customer, order_id, subject):
    key = new_id()
    sql = "INSERT INTO cases (id, customer, order_id, subject) VALUES (?, ?, ?, ?)"
    do(sql, key, customer, order_id, subject)
    return key


def case(key):
    return one("SELECT * FROM cases WHERE id = ?", key)


def cases_of(customer):
    return rows("SELECT * FROM cases WHERE customer = ? ORDER BY rowid DESC", customer)


def open_cases():
    return rows(
        "SELECT cases.*, members.name FROM cases JOIN members ON members.id = cases.customer"
        " WHERE is_open ORDER BY cases.rowid"
    )


def messages_of(key):
    return rows("SELECT * FROM messages WHERE case_id = ? ORDER BY rowid", key)
