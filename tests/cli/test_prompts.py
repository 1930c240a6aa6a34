"""
``cxsdk prompts``: what is wrong with prompts, how they read, whom they would ask.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import subprocess
import sys

import pytest

from cxsdk.cli import main
from cxsdk.prompts.files import load

GOOD = """
[effort]
caps = [{ scope = "prompt", within = "30d" }]
context_fields = ["item"]

[effort.trigger]
event = "checkout.pay"

[[effort.questions]]
id = "easy"
kind = "ces"
text = "It was easy to order {item}."

[[effort.questions]]
id = "why"
kind = "single_choice"
text = "What was hard?"
required = false
allow_other = true
choices = [{ id = "price", label = "The price" }, { id = "form", label = "The form" }]
show_if = { question = "easy", op = "at_most", value = 4 }

[effort.locales.de]
title = "Ihre Bestellung"

[effort.locales.de.questions.easy]
text = "{item} zu bestellen war einfach."

[effort.locales.de.questions.why]
text = "Was war schwierig?"
"""


@pytest.fixture
def file(tmp_path):
    """
    Write prompts; return the path.
    """

    def write(text=GOOD, name="prompts.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def prompts(capsys):
    """
    Run ``cxsdk prompts …``; return exit code, stdout, stderr.
    """

    def run(*words):
        code = main(["prompts", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


# ---- check --------------------------------------------------------------------------------


def test_check_prints_versions(prompts, file):
    """A line for each prompt, and 0 when nothing is wrong."""
    path = file()
    code, out, _ = prompts("check", path)
    assert code == 0
    assert load(path)[0].version in out
    assert "1 prompts, 0 errors, 0 oddities" in out


def test_check_names_every_error_and_still_shows_the_rest(prompts, file, tmp_path):
    """Two slips in two files are two lines; exit code 1."""
    file()
    bad = file('[a]\ntitel = "x"\n[b]\n', "bad.toml")
    code, out, _ = prompts("check", tmp_path)
    assert code == 1
    wrong = [line for line in out.splitlines() if line.startswith("wrong: ")]
    assert wrong == [
        f"wrong: {bad}: prompt 'a': field 'titel' is unknown; did you mean 'title'?",
        f"wrong: {bad}: prompt 'b': questions: expected [[questions]] or a template",
    ]
    assert "1 prompts, 2 errors, 0 oddities" in out


CAP = 'caps = [{ scope = "prompt", within = "30d" }]\n'
ON = '[p.trigger]\nevent = "a"\n'
Q = '[[p.questions]]\nid = "q"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            CAP + ON + "".join(f'[[p.questions]]\nid = "q{n}"\n' for n in range(4)),
            "4 questions: each one more costs answers",
        ),
        (ON + Q, "no cap of its own: by default once in 30 days, and any prompt once in 7"),
        (
            f'scope = "relational"\ncaps = [{{ scope = "prompt", after_dismissal = "9d" }}]\n{Q}',
            "relational without a gap: its cap says neither within nor after_answer",
        ),
        (CAP + Q, "transactional without trigger.event: asks after any interaction"),
        (CAP + ON + Q + "[p.sampling]\nrate = 0\n", "sampling.rate is 0: nobody is asked"),
        (f"ends_at = 2020-01-01T00:00:00Z\n{CAP}{ON}{Q}", "over since 2020-01-01"),
        (
            f'{CAP}{ON}{Q}kind = "text"\ntext = "Why?"\n',
            "question 'q': text without help: only a standard line stands below",
        ),
        (
            f'{CAP}{ON}{Q}text = "Your {{item}}?"\n',
            "{item} is shown as it stands: it is not among context_fields",
        ),
        (
            f'{CAP}{ON}{Q}text = "So?"\n[p.locales.de]\ntitle = "x"\n',
            "de: question 'q' is not translated",
        ),
        (
            f'{CAP}{ON}{Q}[[p.eligibility]]\nrule = "not_seen"\nprompt = "x"\nwithin = "1d"\n',
            "eligibility names prompt 'x', which is not here",
        ),
    ],
    ids=lambda value: value.split(":")[0] if "\n" not in value else "p",
)
def test_check_warns_of_what_is_seldom_meant(prompts, file, text, words):
    """One oddity, which is no error unless asked for."""
    path = file(f"[p]\n{text}")
    code, out, _ = prompts("check", path)
    odd = [line for line in out.splitlines() if line.startswith("odd: ")]
    assert (code, odd) == (0, [f"odd: {path}: prompt 'p': {words}"])
    assert prompts("check", path, "--strict")[0] == 1


def test_check_speaks_json(prompts, file):
    """For machines: prompts, errors, warnings."""
    path = file(GOOD + "[a]\n[p]\n[[p.questions]]\nid = 'q'\n")
    code, out, _ = prompts("check", path, "--json")
    told = json.loads(out)
    assert code == 1
    assert [one["prompt"] for one in told["prompts"]] == ["effort", "p"]
    assert len(told["errors"]) == 1
    assert {one["prompt"] for one in told["warnings"]} == {"p"}


def test_a_path_that_is_none_is_asked_wrongly(prompts, tmp_path):
    """Exit code 2 and one line."""
    code, _, err = prompts("check", tmp_path / "none.toml")
    assert code == 2
    assert (
        err == f"cxsdk prompts: {tmp_path / 'none.toml'}: cannot be read: No such file or"
        " directory\n"
    )


# ---- preview ------------------------------------------------------------------------------


def test_preview_is_what_a_customer_reads(prompts, file):
    """Texts, scale with its ends, choices, what is optional and when it is asked."""
    code, out, _ = prompts("preview", file(), "effort", "--context", "item=tea")
    assert code == 0
    assert out.splitlines() == [
        "It was easy to order tea.",
        "  Strongly disagree  1 2 3 4 5 6 7  Strongly agree",
        "",
        "What was hard? (optional; only if easy at_most 4)",
        "  ( ) The price",
        "  ( ) The form",
        "  ( ) Something else",
        "",
        "afterwards: Thank you. Your answer has arrived.",
    ]


def test_preview_in_another_language(prompts, file):
    """The best of its languages; none that fits is said."""
    _, out, _ = prompts("preview", file(), "effort", "--locale", "de-AT", "--context", "item=Tee")
    assert out.startswith("Ihre Bestellung\n\nTee zu bestellen war einfach.\n")
    code, _, err = prompts("preview", file(), "effort", "--locale", "fr")
    assert (code, err) == (2, "cxsdk prompts: prompt 'effort': no text for 'fr'; there is en, de\n")


def test_preview_of_a_text_question(prompts, file):
    """What is asked for, and what is not wanted."""
    path = file('[p]\n[[p.questions]]\nid = "why"\nkind = "text"\ntext = "Why?"\nmax_chars = 300\n')
    _, out, _ = prompts("preview", path, "p")
    assert "Please leave out names, numbers and addresses." in out
    assert "at most 300 characters" in out


@pytest.mark.parametrize("form", ["json", "html"])
def test_preview_as_a_page_gets_it(prompts, file, form):
    """The faces of an offer; a version without them says so."""
    code, out, err = prompts("preview", file(), "effort", "--as", form)
    if importlib.util.find_spec("cxsdk.prompts.faces") is None:
        assert (code, out) == (2, "")
        assert err == f"cxsdk prompts: --as {form}: this version of cxsdk has no such face\n"
        return
    assert code == 0
    assert "It was easy to order" in out
    assert "<form" in out if form == "html" else json.loads(out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["preview", "{}", "efort"], "there is no prompt 'efort'; did you mean 'effort'?"),
        (["preview", "{}", "zzzz"], "there is no prompt 'zzzz'; known: effort"),
        (["preview", "{}", "effort", "--context", "x=1"], "'x' is not among context_fields"),
        (["preview", "{}", "effort", "--context", "item"], "expected NAME=VALUE, got 'item'"),
        (["explain", "{}", "effort"], "say whom: --customer ID or --anonymous ID"),
    ],
)
def test_a_slip_of_an_argument_is_one_line(prompts, file, words, said):
    """Exit code 2, what was expected, the nearest that there is."""
    code, out, err = prompts(*(word.format(file()) for word in words))
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


# ---- explain ------------------------------------------------------------------------------


def test_explain_names_each_rule(prompts, file):
    """All allow: would be asked. After another touchpoint: the trigger says no."""
    path = file()
    code, out, _ = prompts("explain", path, "effort", "--customer", "u-17", "--after",
                           "checkout.pay")  # fmt: skip
    assert code == 0
    assert out.endswith(f"effort {load(path)[0].version}: would be asked\n")
    assert "sampling" in out
    assert "without --store and CXSDK_CAP_STORE nobody was ever asked" in out
    _, out, _ = prompts("explain", path, "effort", "--customer", "u-17", "--store", "memory:")
    assert "nobody was ever asked" not in out
    _, out, _ = prompts("explain", path, "effort", "--customer", "u-17", "--after", "search")
    assert out.endswith(": would not be asked: trigger_mismatch\n")


def test_explain_takes_what_rules_look_at(prompts, file):
    """Attributes, consent and channel come from the command line."""
    rule = '[[effort.eligibility]]\nrule = "attribute"\nname = "seats"\nvalues = [3]\n'
    who = ("effort", "--customer", "u-17", "--after", "checkout.pay", "--json")
    path = file(GOOD + rule)
    asked = [
        json.loads(prompts("explain", path, *who, *more)[1])["reason"]
        for more in (
            ["--attribute", "seats=3"],
            ["--attribute", "seats=4"],
            ["--attribute", "seats=3", "--consent", "denied"],
            ["--attribute", "seats=3", "--channel", "email"],
        )
    ]
    assert asked == [None, "not_in_segment", "no_consent", "wrong_channel"]


def test_explain_reads_the_store_of_the_service(prompts, file, tmp_path, monkeypatch):
    """Who was asked a moment ago is not asked now; the store is read only, and may be set."""
    stores = pytest.importorskip("cxsdk.prompts.stores")
    if not hasattr(stores, "open_store"):
        pytest.skip("this version of cxsdk opens no stores")
    from cxsdk.asking import Cap, Request
    from cxsdk.pipeline.customers import Customers
    from cxsdk.prompts.deciding import subject_of

    url = f"sqlite:///{tmp_path / 'caps.db'}"
    block = Customers(None).resolve(("u-17", None, None, None)).block
    subject = subject_of("c", block["id"])
    store = stores.open_store(url)
    store.reserve(Request(
        offer_id="o-1", prompt="other", subject=subject, expires_in=60.0, record=b"{}",
        caps=[Cap("any", subject, "cap_global")],
    ))  # fmt: skip
    store.advance("o-1", "shown")
    store.close()
    who = ("effort", "--customer", "u-17", "--after", "checkout.pay", "--json")
    for more in (["--store", url], []):
        told = json.loads(prompts("explain", file(), *who, *more)[1])
        monkeypatch.setenv("CXSDK_CAP_STORE", url)
        refused = {one["reason"] for one in told["rules"] if not one["allows"]}
        assert refused == {"in_flight", "cap_global"}


# ---- simulate -----------------------------------------------------------------------------


@pytest.fixture
def orders(tmp_path):
    """
    A folder like Olist's: one person with orders on three days, one with a single one.
    """
    folder = tmp_path / "olist"
    folder.mkdir()
    people = [("k1", "anna"), ("k2", "anna"), ("k3", "anna"), ("k4", "ben")]
    with (folder / "olist_customers.csv").open("w", newline="") as text:
        rows = csv.writer(text)
        rows.writerow(["customer_id", "customer_unique_id"])
        rows.writerows(people)
    columns = "order_id customer_id order_purchase_timestamp order_delivered_customer_date"
    lines = [f"{columns} order_estimated_delivery_date".replace(" ", ",")]
    for number, day in enumerate(("2017-11-01", "2017-11-03", "2017-12-20", "2017-11-02"), 1):
        lines.append(f"o{number},k{number},{day} 10:00:00,,2017-12-31 00:00:00")
    lines[-1] = "o4,k4,2017-11-02 10:00:00,2017-11-05 09:00:00,2017-11-04 00:00:00"
    (folder / "olist_orders.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


def test_simulate_says_whom_it_would_have_asked(prompts, file, orders):
    """Two of two customers; anna again after 49 days, not after two."""
    code, out, _ = prompts("simulate", file(), "--olist", orders)
    assert code == 0
    assert "2017-11-01 to 2017-12-20: 5 occasions of 2 customers" in out
    assert (
        "asked: 2 customers (100.0%), 3 offers, at most 2 to one customer in any 90 days,"
        " shortest gap 49.0 d" in out
    )
    reasons = [line.split() for line in out.split("\n\n")[1].splitlines()[1:]]
    assert reasons == [["effort", "cap_global", "1"], ["effort", "trigger_mismatch", "1"]]


def test_simulate_speaks_json_of_the_last_days(prompts, file, orders):
    """Only what lies in them; the same figures for machines."""
    code, out, _ = prompts("simulate", file(), "--olist", orders, "--days", 40, "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["occasions"], told["customers"], told["offers"], told["share"]) == (1, 1, 1, 1)
    assert (told["most_in_90_days"], told["shortest_gap_s"]) == (1, None)


def test_simulate_reads_a_file_of_events(prompts, file, tmp_path):
    """NDJSON as `replay` takes it; a bad line is named and makes the exit code 1."""
    from cxsdk.cli._olist import _interaction, _moment
    from cxsdk.events.codec import encode

    at = _moment("2026-05-04 10:00:00")
    line = encode(_interaction("a", "anna", "checkout.pay", "order", at, "yes"))
    path = tmp_path / "events.ndjson"
    path.write_bytes(line + b"\n")
    assert prompts("simulate", file(), "--events", path, "--json")[0] == 0
    path.write_bytes(line + b"\nnonsense\n")
    code, out, err = prompts("simulate", file(), "--events", path, "--json")
    assert (code, json.loads(out)["offers"]) == (1, 1)
    assert err.startswith("line 2: ")


def test_simulate_without_an_occasion_says_so(prompts, file, tmp_path):
    """An empty file is an answer, too."""
    (tmp_path / "none.ndjson").write_text("")
    code, out, _ = prompts("simulate", file(), "--events", tmp_path / "none.ndjson")
    assert (code, out.count("\n")) == (0, 1)
    assert "nobody could be asked" in out


def test_simulate_names_a_missing_file(prompts, file, tmp_path):
    """The folder does not hold the data: one line, exit code 2."""
    code, _, err = prompts("simulate", file(), "--olist", tmp_path)
    assert code == 2
    assert err == (
        f"cxsdk prompts: {tmp_path / 'olist_customers.csv'} or olist_customers.csv.gz: not there\n"
    )


@pytest.mark.parametrize(
    "words", [["simulate", "x"], ["simulate", "x", "--olist", "y", "--answered", "30"], ["check"]]
)
def test_wrong_usage_is_exit_code_2(words):
    """Nothing to read from, no share, no path."""
    with pytest.raises(SystemExit) as caught:
        main(["prompts", *words])
    assert caught.value.code == 2


def test_a_missing_extra_is_one_clear_line(file, orders):
    """Without the package that signs tokens a rehearsal says what to install; check needs none."""
    code = f"""
import sys
sys.modules["itsdangerous"] = sys.modules["jinja2"] = None
from cxsdk.cli import main
assert main(["prompts", "check", {str(file())!r}]) == 0
sys.exit(main(["prompts", "simulate", {str(file())!r}, "--olist", {str(orders)!r}]))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert found.stderr.endswith("pip install 'cxsdk[prompts]'\n")
    assert found.stderr.count("\n") == 1
