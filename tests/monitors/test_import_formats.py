"""What each format's files mean here: read, not made."""

from pathlib import Path
from typing import Any

import pytest

from apps.core.errors import Invalid
from apps.core.imports import BYTES_MOST, SourceFile
from apps.monitors.importers import Draft, importers
from apps.monitors.importers.base import ImportFault
from apps.monitors.importers.crontab import job_name, reporting
from apps.monitors.importers.endpoints import final_codes
from apps.monitors.services.imports import read_drafts

SAMPLES = Path(__file__).parent / "samples"


def read(format: str, *names: str) -> list[Draft]:
    """Return what the sample files of these names say."""
    return read_drafts(format, [SourceFile(name, (SAMPLES / name).read_text()) for name in names])


def of_text(format: str, *texts: str) -> list[Draft]:
    return read_drafts(format, [SourceFile(f"file {number}", text) for number, text in enumerate(texts, 1)])


def named(drafts: list[Draft], name: str) -> Draft:
    return next(draft for draft in drafts if draft.name == name)


# --- Uptime Kuma -------------------------------------------------------------------------------------------------


def test_backup_carries_every_type_with_its_settings() -> None:
    drafts = read("uptime_kuma", "uptime_kuma.json")
    shop = next(draft for draft in drafts if draft.key == "2")
    assert shop.values["tags"] == ["customer: Acme", "web"]
    assert (shop.values["failure_threshold"], shop.values["expected_status"]) == (3, "200-299")
    assert "cert_warn_days" not in shop.values  # it is told about the certificate, as usual
    assert "not every 20 s" in shop.notes[0]
    assert named(drafts, "No maintenance banner").values["keyword_absent"] == "under maintenance"
    api = named(drafts, "API status").values
    assert (api["json_path"], api["json_value"], api["method"], api["headers"]) == (
        "$.checks[0].status", "ok", "POST", {"Content-Type": "application/json"},
    )  # fmt: skip
    assert api["options"] == {"auth": "basic", "username": "monitor", "password": "s3cret-basic"}
    assert named(drafts, "Name of the shop").values["options"] == {"record_type": "AAAA", "resolver": "9.9.9.9"}
    orders = named(drafts, "Orders database").values
    assert (orders["target"], orders["options"]["database"]) == ("db.example.org:5433", "orders")
    gone = named(drafts, "Old site is gone").values
    assert (gone["inverse"], gone["enabled"]) == (True, False)
    proxied = named(drafts, "Behind the proxy").values
    assert (proxied["options"]["proxy"], proxied["tls_verify"]) == ("http://proxy.example.org:3128", False)
    assert named(drafts, "Production").members == ["2", "3", "20"]


def test_backup_says_why_something_can_not_be_made() -> None:
    drafts = read("uptime_kuma", "uptime_kuma.json")
    assert named(drafts, "Telemetry").problem == "There is no check of the type mqtt."
    assert "NTLM" in named(drafts, "Intranet").problem
    assert named(drafts, "Broken interval").problem == "“interval” should be a number."
    assert "channel" in named(drafts, "Team chat").problem and "22 monitors" in named(drafts, "Team chat").problem
    assert "not imported" in named(drafts, "Example status").problem
    assert "more than a path" in named(drafts, "Two thirds").notes[0]
    window = named(drafts, "Weekly updates")
    assert (window.values["weekdays"], window.values["start_time"], window.values["duration_s"], window.members) == (
        [6, 2], "22:30", 7200, ["2", "6"],
    )  # fmt: skip
    assert "manual" in named(drafts, "By hand").problem


@pytest.mark.parametrize(
    ("accepted", "final"),
    [("200-299,301", "200-299"), ("200-399", "200-299"), ("100-599", "100-299,400-599"), ("301,302", "301,302")],
)
def test_accepted_redirects_are_followed_and_not_expected(accepted: str, final: str) -> None:
    assert final_codes(accepted) == final


# --- Gatus -------------------------------------------------------------------------------------------------------


def test_conditions_become_what_a_check_expects() -> None:
    drafts = read("gatus", "gatus.yaml")
    shop = named(drafts, "shop").values
    assert (shop["expected_status"], shop["json_path"], shop["json_value"]) == ("200", "status", "UP")
    assert (shop["degraded_over_ms"], shop["cert_warn_days"], shop["tags"]) == (800, [10], ["core"])
    assert (shop["failure_threshold"], shop["recovery_threshold"], shop["timeout_s"]) == (4, 3, 5.0)
    page = named(drafts, "page")
    assert (page.values["expected_status"], page.values["keyword"]) == ("200,204", "<h1>Shop</h1>")
    assert page.notes == ["The condition “len([BODY].items) > 3” is not carried over."]
    form = named(drafts, "page-form").values
    assert (form["max_redirects"], form["tls_verify"], form["expected_status"]) == (0, False, "100-399")
    assert (form["options"]["pattern"], form["keyword_absent"]) == (r"(?s)\Athanks.*bye\Z", "error")
    assert named(drafts, "name-of-shop").values["options"] == {
        "record_type": "A", "resolver": "9.9.9.9", "expected": ["192.0.2.7"],
    }  # fmt: skip
    assert [named(drafts, name).values["endpoint_type"] for name in ("router", "database", "mail", "nightly")] == [
        "icmp", "tcp", "smtp", "push",
    ]  # fmt: skip


def test_what_gatus_has_and_we_have_not_is_told() -> None:
    drafts = read("gatus", "gatus.yaml")
    assert named(drafts, "signalling").problem == "There is no check of the type sctp."
    assert "API_KEY" in named(drafts, "token-wanted").problem
    assert "DOMAIN_EXPIRATION" in named(drafts, "registrar").notes[0]
    assert named(drafts, "registrar").values["expected_status"] == "100-299,400-599"
    assert [draft.name for draft in drafts if draft.kind == "notification"] == ["slack", "email"]
    assert "Suites" in named(drafts, "check-out").problem
    assert named(drafts, "Maintenance (Gatus)").values["duration_s"] == 5400


def test_several_files_are_merged() -> None:
    drafts = of_text(
        "gatus",
        "endpoints: [{name: a, url: 'http://a.example.org', conditions: ['[STATUS] == 200']}]\nclient: {timeout: 3s}",
        "endpoints: [{name: b, url: 'http://b.example.org', conditions: ['[STATUS] == 200']}]",
        "ui: {header: x}",
    )
    assert [(draft.name, draft.values["timeout_s"]) for draft in drafts] == [("a", 3.0), ("b", 3.0)]


# --- Healthchecks ------------------------------------------------------------------------------------------------


def test_checks_become_heartbeats_with_their_uuids() -> None:
    drafts = read("healthchecks", "healthchecks.json")
    backup = named(drafts, "Nightly backup").values
    assert (backup["cron"], backup["timezone_name"], backup["grace_seconds"], backup["tags"]) == (
        "30 2 * * *", "Europe/Berlin", 3600, ["backup", "db"],
    )  # fmt: skip
    assert str(backup["ping_uuid"]) == "31365bce-8da9-4729-8ff3-aaa71d56b712"
    worker = named(drafts, "Queue worker").values
    assert (worker["interval_seconds"], worker["is_paused"], worker["resume_on_ping"]) == (600, True, False)
    assert (worker["success_keywords"], worker["failure_keywords"], worker["otherwise"]) == (
        ["DONE", "OK"], ["ERROR"], "log",
    )  # fmt: skip
    certificates = named(drafts, "Certificates")
    assert (certificates.values["on_calendar"], certificates.values["ping_uuid"]) == ("Mon,Thu *-*-* 04:10", None)
    assert "read-only" in certificates.notes[0]


# --- blackbox ----------------------------------------------------------------------------------------------------


def test_each_target_of_a_module_becomes_an_endpoint() -> None:
    drafts = read("blackbox", "blackbox.yml", "prometheus.yml")
    shop = named(drafts, "https://shop.example.org").values
    assert (shop["interval_s"], shop["timeout_s"], shop["expected_status"], shop["tags"]) == (
        30, 5.0, "200,204", ["web", "team: web"],
    )  # fmt: skip
    assert (shop["options"]["pattern"], shop["options"]["pattern_absent"]) == (
        "Shop( of shoes)?", "(?:error)|(?:panic)",
    )  # fmt: skip
    assert named(drafts, "blog.example.org").values["target"] == "http://blog.example.org"
    kinds = {draft.name: draft.values["endpoint_type"] for draft in drafts if draft.values and not draft.problem}
    assert kinds["db.example.org:5432"] == kinds["db.example.org:22"] == "tcp"
    assert (kinds["db.example.org:636"], kinds["192.0.2.1"], kinds["shop.example.org at 9.9.9.9"]) == (
        "tls", "icmp", "dns",
    )  # fmt: skip
    assert "no_such" in named(drafts, "x.example.org").problem
    assert "No target" in named(drafts, "never_used").problem
    assert "discovery" in named(drafts, "found: consul_sd_configs").problem
    assert not any("n1:9100" in draft.name for draft in drafts)


def test_modules_with_a_list_of_targets() -> None:
    drafts = of_text("blackbox", "modules: {icmp: {prober: icmp}}", "- targets: [192.0.2.1, 192.0.2.2]")
    assert [draft.values["target"] for draft in drafts] == ["192.0.2.1", "192.0.2.2"]


# --- crontab -----------------------------------------------------------------------------------------------------


def test_each_line_becomes_a_heartbeat_in_its_zone() -> None:
    drafts = read("crontab", "crontab")
    made = [(draft.name, draft.values["cron"], draft.values["timezone_name"]) for draft in drafts if not draft.problem]
    assert made == [
        ("backup.sh --full", "30 2 * * 1-5", "Europe/Berlin"),
        ("clean.py", "0 0 * * *", "Europe/Berlin"),
        ("python manage.py send_mail", "*/5 * * * *", "Europe/Berlin"),
        ("pg_dump orders", "0 4 * * *", "Europe/Berlin"),
        ('mail -s "Report" ops@example.org', "15 3 * * *", "Europe/Berlin"),
        ("job", "10 5 * * *", "Europe/Berlin"),
        ("hourly.sh", "0 * * * *", "UTC"),
    ]
    problems = {draft.name: (draft.place, draft.problem) for draft in drafts if draft.problem}
    assert problems["at-start"][1].startswith("It runs at each start")
    assert problems["never"] == ("line 12", 'Its schedule can\'t be read: the minute field "61" is wrong.')
    assert "Mars/Olympus" in problems["mars"][1]


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        ("/opt/job", "/opt/job; PING/$?"),
        ("a && b # twice", "a && b; PING/$?"),
        ("echo '# no comment';", "echo '# no comment'; PING/$?"),
        ("mail x%text", "mail x; PING/$?%text"),
        (r"date +\%F", r"date +\%F; PING/$?"),
        ("a || exit 1", "( a || exit 1 ); PING/$?"),
        ("/opt/daemon &", "/opt/daemon & PING"),
    ],
)
def test_changed_line_reports_how_the_job_ended(command: str, changed: str) -> None:
    ping = "curl -fsS -m 10 --retry 5 -o /dev/null U"
    assert reporting(command, "U") == changed.replace("PING", ping)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/flock -n /run/x.lock timeout 5m /opt/sync.sh -v", "sync.sh -v"),
        ("FOO=1 BAR=2 sudo -u www-data php /srv/cron.php", "php /srv/cron.php"),
        ("test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )",
         "run-parts --report /etc/cron.daily"),
        ("mysqldump -ps3cret --all-databases", "mysqldump -p*** --all-databases"),
        ("curl https://u:s3cret@x.example.org/run", "curl https://***@x.example.org/run"),
        ("job --api-key s3cret", "job --api-key ***"),
    ],
)  # fmt: skip
def test_name_is_the_program_and_no_secret(command: str, name: str) -> None:
    assert job_name(command) == name


def test_column_of_users_is_recognised_or_said() -> None:
    text = "17 * * * * root cd / && run-parts /etc/cron.hourly\n25 6 * * * www-data /opt/mail.sh\n"
    for format in ("crontab", "crontab_system"):
        drafts = of_text(format, text)
        assert [(draft.name, draft.values["tags"]) for draft in drafts] == [
            ("run-parts /etc/cron.hourly", ["root"]), ("mail.sh", ["www-data"]),
        ]  # fmt: skip
    [draft] = of_text("crontab_system", "@daily shopkeeper /opt/x.sh")
    assert draft.snippet is not None
    assert draft.snippet("U").startswith("@daily shopkeeper /opt/x.sh; curl")


# --- broken and hostile files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "text", "words"),
    [
        ("uptime_kuma", '{"monitorList": [', "line 1, column"),
        ("uptime_kuma", "[]", "no backup of Uptime Kuma"),
        ("uptime_kuma", '{"monitorList": 5}', "no backup of Uptime Kuma"),
        ("gatus", "endpoints:\n  - name: [x", "in what begins in line 2"),
        ("gatus", "- a\n- b", "no configuration of Gatus"),
        ("gatus", "x: !!python/object/apply:os.system ['true']", "line 1"),
        ("gatus", "a: &a [*a]\nendpoints: []", "contains itself"),
        ("healthchecks", "{}", "no list of checks"),
        ("blackbox", "a: 1", "neither"),
        ("blackbox", "scrape_configs: []", "modules are missing"),
        ("crontab", "# nothing\nA=1\n", "no line of it"),
        ("gatus", "endpoints: " + "[" * 500 + "]" * 500, "nested too deeply"),
        ("gatus", "[" * 3_000_000, "nested too deeply"),
        ("uptime_kuma", "[" * 100_000, "file 1"),
        ("uptime_kuma", "[" + "1" * 5000 + "]", "too long"),
        ("gatus", "endpoints: 2026-13-45\nwhen: 2026-99-99", "file 1"),
    ],
)
def test_broken_file_is_one_sentence_with_its_place(format: str, text: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        of_text(format, text)
    [sentence] = refused.value.problems["contents"]
    assert words in sentence and "\n" not in sentence


@pytest.mark.parametrize("merge", [False, True])
def test_bomb_of_aliases_is_refused_before_it_grows(merge: bool) -> None:
    lines = ["a0: &a0 {x0: 1}" if merge else "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 12):
        nine = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {{<<: [{nine}], x{level}: 1}}" if merge else f"a{level}: &a{level} [{nine}]")
    with pytest.raises(Invalid) as refused:
        of_text("gatus", "\n".join([*lines, "endpoints: []"]))
    assert "blow it up" in refused.value.problems["contents"][0]


def test_too_much_is_refused() -> None:
    with pytest.raises(Invalid, match="MB"):
        of_text("crontab", "#" * (BYTES_MOST + 1))
    with pytest.raises(Invalid, match="at most 50 files"):
        of_text("crontab", *(["* * * * * a"] * 51))
    with pytest.raises(Invalid, match="2,001 things"):
        of_text("crontab", "* * * * * a\n" * 2001)
    with pytest.raises(Invalid, match="at least one file"):
        of_text("crontab", " \n")
    with pytest.raises(Invalid, match="must be one of"):
        of_text("nagios", "x")


#: For each format: a file of it that holds a thing which is spoilt in every way that is not the file's own form.
SPOILT: dict[str, str] = {
    "uptime_kuma": '{"monitorList": [5, {"type": ["x"]}, {"type": "http", "interval": {}}, {"type": "port"}]}',
    "gatus": "endpoints: [5, {name: a}, {name: b, url: 5}, {name: c, url: 'http://x', interval: {}}]",
    "healthchecks": '{"checks": [5, {"name": {}}, {"name": "a", "schedule": 5}, {"timeout": "x"}]}',
    "blackbox": "modules: {a: {prober: http, timeout: x}, b: 5, c: {}}\n",
    "crontab": "x\n* * *\n* * * * *\n@never a\n* * * * * a\n",
    "crontab_system": "* * * * * root\nx\n",
}


@pytest.mark.parametrize("format", list(importers))
def test_spoilt_things_do_not_stop_a_format(format: str) -> None:
    importer: Any = importers[format]
    assert importer.label and importer.help.endswith(".")
    try:
        drafts = importer.read([SourceFile("spoilt", SPOILT[format])])
    except ImportFault as fault:
        pytest.fail(f"one thing stopped the whole file: {fault}")
    assert drafts and all(draft.place and draft.name for draft in drafts)
    assert any(draft.problem for draft in drafts)
