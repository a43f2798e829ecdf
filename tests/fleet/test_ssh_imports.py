"""Importing machines: what each format says, what it makes, and what it never takes."""

import base64
import hashlib
import hmac
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse

from apps.core.errors import Invalid
from apps.core.imports import ImportReport, SourceFile
from apps.core.principals import system
from apps.fleet.importers import importers
from apps.fleet.models import Server, SshConnection
from apps.fleet.services import import_machines, read_machines
from apps.secrets.services import create_secret
from tests.factories.accounts import client_as, make_user, principal
from tests.factories.fleet import make_server
from tests.factories.ssh import make_connection
from tests.support.console import console_of
from tests.support.sshd import make_key, public_half

pytestmark = pytest.mark.django_db
ACTOR = system("test")
CANARY = "canary-of-an-inventory"

CONFIG = """
# comment
User fallback
Host web web-alias
    HostName 10.0.0.5
    Port=2222
    IdentityFile ~/.ssh/id_web
Host inner
    HostName inner.example.org
    ProxyJump first,web
Host *.example.net !skip
    User pattern
Host bad
    Port 99999
Host odd
    ProxyCommand nc %h %p
Match user root
    Port 1
Host *
    ConnectTimeout 5
    User never
"""
INI = f"""
lonely ansible_host=10.1.0.1 ansible_user=root
[web]
web[01:03].example.org ansible_port=2200  # three
[db]
db-a ansible_password={CANARY}
[db:vars]
ansible_user=postgres
[prod:children]
web
db
[prod:vars]
ansible_user=deploy
ansible_ssh_common_args='-o ProxyJump=ops@bastion.example.org:2022'
[windows]
win ansible_connection=winrm
"""
YAML = f"""
all:
  vars: {{ansible_user: deploy}}
  hosts:
    lonely:
  children:
    web:
      hosts:
        web[1:2]: {{ansible_host: 10.0.0.9, ansible_become_password: {CANARY}}}
        sealed:
          ansible_host: !vault |
            $ANSIBLE_VAULT;1.1;AES256
            6162
"""


def brought(format: str, text: str, *, dry_run: bool = False, **more: Any) -> ImportReport:
    """Import a text."""
    drafts = read_machines(format, [SourceFile("file", text)])
    return import_machines(actor=ACTOR, format=format, drafts=drafts, dry_run=dry_run, **more)


def by_name(report: ImportReport) -> dict[str, Any]:
    """Return the items by name."""
    return {item.name: item for item in report.items}


def test_ssh_config_becomes_connections_with_their_defaults_and_jump_hosts() -> None:
    items = by_name(brought("ssh_config", CONFIG))
    web = SshConnection.objects.get(name="web")
    assert (web.address, web.auth_method, web.connect_timeout_s) == ("fallback@10.0.0.5:2222", "agent", 5)
    inner = SshConnection.objects.get(name="inner")
    assert inner.jump_host == web and "first" in items["inner"].notes[0]
    assert "id_web" in items["web"].notes[0] and items["web"].place == "file, line 4"
    assert set(SshConnection.objects.values_list("name", flat=True)) == {"web", "web-alias", "inner"}
    assert "99999" in items["bad"].reason and "ProxyCommand" in items["odd"].reason
    assert "Match" in items["Match user root"].reason
    again = brought("ssh_config", CONFIG)
    assert again.counts() == {"new": 0, "exists": 3, "impossible": 3}


def test_dry_run_makes_nothing_and_says_the_same() -> None:
    for format, text in (("ssh_config", CONFIG), ("ansible_ini", INI), ("ansible_yaml", YAML)):
        told = brought(format, text, dry_run=True)
        assert not SshConnection.objects.exists() and not Server.objects.exists()
        assert all(not item.id for item in told.items)
        made = brought(format, text)
        assert told.counts() == made.counts(), format
        SshConnection.objects.exclude(jump_host=None).update(jump_host=None)
        Server.objects.all().delete()
        SshConnection.objects.all().delete()


def test_ini_inventory_becomes_servers_with_groups_as_tags_and_no_password() -> None:
    items = by_name(brought("ansible_ini", INI))
    server = Server.objects.get(name="web02.example.org")
    assert sorted(server.tags.values_list("name", flat=True)) == ["prod", "web"]
    assert server.ssh_connection and server.ssh_connection.address == "deploy@web02.example.org:2200"
    jump = server.ssh_connection.jump_host
    assert jump and jump.address == "ops@bastion.example.org:2022"
    assert SshConnection.objects.get(name="db-a").username == "postgres"  # the nearest group's word counts
    assert "winrm" in items["win"].reason and "passwords" in " ".join(items["db-a"].notes)
    assert CANARY not in repr(items) + repr(list(SshConnection.objects.values()))


def test_yaml_inventory_and_list_of_ansible_say_the_same() -> None:
    items = by_name(brought("ansible_yaml", YAML))
    assert set(items) == {"lonely", "web1", "web2", "sealed"}
    assert SshConnection.objects.get(name="web1").address == "deploy@10.0.0.9"
    assert "sealed" in items["sealed"].reason or items["sealed"].outcome == "impossible"
    listed = (
        '{"_meta": {"hostvars": {"a": {"ansible_host": "10.2.0.1", "ansible_user": "u"}}},'
        '"all": {"children": ["web"]}, "web": {"hosts": ["a"]}}'
    )
    brought("ansible_yaml", listed)
    assert Server.objects.get(name="a").ssh_connection.address == "u@10.2.0.1"  # type: ignore[union-attr]


def test_secret_signs_in_at_all_of_them_and_server_that_is_there_is_bound() -> None:
    secret = create_secret(actor=ACTOR, name="deploy", value="correct horse", category="password")
    server = make_server("lonely")
    brought("ansible_ini", "lonely ansible_host=10.1.0.1", username="ops", secret_id=secret.pk)
    server.refresh_from_db()
    way = server.ssh_connection
    assert way and (way.auth_method, way.secret_id, way.username) == ("password", secret.pk, "ops")


def test_machine_without_a_user_says_so() -> None:
    (item,) = brought("ansible_ini", "lonely").items
    assert item.outcome == "impossible" and "no user" in item.reason


def test_known_hosts_pin_what_is_pending_and_change_nothing_that_is_pinned(tmp_path: Path) -> None:
    keys = [public_half(make_key(tmp_path, name)) for name in ("one", "two")]
    plain, other = (
        make_connection("plain", hostname="10.0.0.1"),
        make_connection("other", hostname="10.0.0.2", port=2222),
    )
    fixed = make_connection("fixed", hostname="10.0.0.3", host_key=keys[1])
    salt = b"0123456789abcdef0123"
    digest = hmac.new(salt, b"[10.0.0.2]:2222", hashlib.sha1).digest()
    hashed = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    text = (
        f"# comment\n10.0.0.1,web {keys[0]} me@here\n{hashed} {keys[1]}\n10.0.0.3 {keys[0]}\n"
        f"@revoked * {keys[0]}\n@cert-authority * {keys[0]}\nnowhere {keys[0]}\n10.0.0.1 ssh-rsa AAAA\n"
    )
    told = brought("known_hosts", text, dry_run=True)
    plain.state.refresh_from_db()
    assert plain.state.host_key == ""
    report = brought("known_hosts", text)
    assert report.counts() == told.counts() == {"new": 2, "exists": 0, "impossible": 5}
    for row, key in ((plain, keys[0]), (other, keys[1]), (fixed, keys[1])):
        row.state.refresh_from_db()
        assert (row.state.host_key, row.state.host_key_state) == (key, "pinned")
    assert brought("known_hosts", text).counts()["exists"] == 2


@pytest.mark.parametrize(
    ("format", "text", "words"),
    [
        ("ssh_config", 'Host "web\n', "line 1: a quote"),
        ("ssh_config", "Host\n", "line 1.*without a value"),
        ("known_hosts", "hello\nworld x", "no line"),
        ("ansible_ini", "[web\nx", "line 1: the section"),
        ("ansible_ini", "[web:odd]\n", "line 1"),
        ("ansible_ini", "web[1:99999999]", "more than 2,000"),
        ("ansible_ini", "web[a:1]", "no range"),
        ("ansible_ini", "host name", "line 1.*name=value"),
        ("ansible_ini", "# nothing", "names no host"),
        ("ansible_yaml", "a: &x [1]\nb: *x", "line 2: write out"),
        ("ansible_yaml", "a: [", "line 1|line 2"),
        ("ansible_yaml", "[" * 500, "nested"),
        ("ansible_yaml", "- list", "groups"),
        ("ansible_yaml", "all: {hosts: text}", "hosts"),
        ("ansible_yaml", "all: !!python/object:os.system {}", "YAML"),
        ("other", "x", "must be one of"),
    ],
)
def test_file_that_can_not_be_read_names_the_place(format: str, text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        brought(format, text)


def test_each_format_tells_what_to_give_and_survives_the_files_of_the_others() -> None:
    for name, importer in importers.items():
        assert importer.label and importer.help.endswith(".")
        for text in (CONFIG, INI, YAML, "\x00\xff", "a" * 5000):
            try:
                brought(name, text, dry_run=True)
            except Invalid:
                continue
    assert not SshConnection.objects.exists()


def test_import_over_the_api_and_by_those_who_may() -> None:
    body = {"format": "ssh_config", "contents": [CONFIG], "dry_run": False}
    answer = client_as("admin").post("/api/v1/ssh-connections/import", body, format="json")
    assert (answer.status_code, answer.json()["counts"]["new"]) == (200, 3)
    assert client_as("operator").post("/api/v1/ssh-connections/import", body, format="json").status_code == 403
    maker = principal(user=make_user("maker", permissions=["ssh_connections:create"]))
    drafts = read_machines("ansible_ini", [SourceFile("x", INI)])
    report = import_machines(actor=maker, format="ansible_ini", drafts=drafts, dry_run=False)
    assert report.counts()["new"] == 0
    assert "ssh_connections:use" in {item.reason.split()[-1].rstrip(".") for item in report.items if item.name != "win"}


def test_import_by_the_page_shows_first_and_carries_no_password() -> None:
    console = console_of(make_user("admin"))
    path = reverse("admin:fleet_import")
    looked = console.post(path, {"format": "ansible_ini", "text": INI})
    page = looked.content.decode()
    assert looked.status_code == 200 and "web02.example.org" in page and not Server.objects.exists()
    packed = looked.context["packed"]
    assert CANARY not in page
    made = console.post(path, {"step": "make", "format": "ansible_ini", "packed": packed})
    assert made.status_code == 200 and Server.objects.count() == 5
    broken = console.post(path, {"step": "make", "format": "ansible_ini", "packed": "AAAA"})
    assert broken.status_code == 422


def test_import_by_command(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(CONFIG)
    said = StringIO()
    call_command("import-machines", "ssh_config", str(tmp_path / "config"), "--dry-run", stdout=said)
    assert "3 would be made, 0 there already, 3 can't be made." in said.getvalue()
    call_command("import-machines", "ssh_config", str(tmp_path / "config"), stdout=said)
    assert SshConnection.objects.count() == 3
