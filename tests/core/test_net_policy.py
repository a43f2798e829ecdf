"""The policy for outbound traffic, address by address."""

import ipaddress
import socket

import pytest

from apps.core.net import InvalidTarget, OutboundRefused, Purpose, check_address, check_host, check_unix_path, check_url
from apps.core.net.hosts import canonical_host, parse_url

PRIVATE = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.8.8.8", "100.64.0.1", "::1", "fd12::1", "fec0::1"]
NEVER = [
    *("169.254.169.254", "169.254.1.1", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *("0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
    *("::", "fe80::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254"),
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "151.101.1.69", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"]


def wrapped(ip: str) -> list[str]:
    """Return an IPv4 address in every IPv6 clothing a gateway might take off."""
    value = int(ipaddress.IPv4Address(ip))
    low = f"{value >> 16:x}:{value & 0xFFFF:x}"
    teredo = f"{~value >> 16 & 0xFFFF:x}:{~value & 0xFFFF:x}"
    return [
        f"::ffff:{ip}",
        f"::ffff:0:{low}",
        f"::{ip}",
        f"64:ff9b::{low}",
        f"64:ff9b:1::{low}",
        f"2002:{low}::1",
        f"2001:0:102:304::{teredo}",
        f"2a00:1450::5efe:{low}",
    ]


@pytest.mark.parametrize("ip", PUBLIC)
@pytest.mark.parametrize("purpose", list(Purpose))
def test_public_address_any_purpose_is_allowed(ip: str, purpose: Purpose) -> None:
    check_address(ip, 443, purpose)


@pytest.mark.parametrize("ip", PRIVATE)
def test_private_address_probe_is_allowed_and_deliver_is_refused(ip: str) -> None:
    check_address(ip, 443, Purpose.PROBE)
    with pytest.raises(OutboundRefused):
        check_address(ip, 443, Purpose.DELIVER)


@pytest.mark.parametrize("ip", NEVER)
@pytest.mark.parametrize("purpose", list(Purpose))
def test_forbidden_address_any_purpose_is_refused(ip: str, purpose: Purpose) -> None:
    with pytest.raises(OutboundRefused):
        check_address(ip, 80, purpose)


@pytest.mark.parametrize("ip", [clothed for ip in ("169.254.169.254", "100.100.100.200") for clothed in wrapped(ip)])
def test_wrapped_metadata_address_is_refused(ip: str) -> None:
    with pytest.raises(OutboundRefused):
        check_address(ip, 80, Purpose.PROBE)


@pytest.mark.parametrize("ip", [clothed for ip in ("10.0.0.1", "127.0.0.1") for clothed in wrapped(ip)])
def test_wrapped_private_address_deliver_is_refused(ip: str) -> None:
    with pytest.raises(OutboundRefused):
        check_address(ip, 80, Purpose.DELIVER)


@pytest.mark.parametrize("ip", ["2001:db8::1", "192.0.2.1", "198.51.100.7", "4000::1", "64:ff9b:1::808:808"])
def test_special_address_deliver_is_refused(ip: str) -> None:
    with pytest.raises(OutboundRefused):
        check_address(ip, 80, Purpose.DELIVER)


def test_wrapped_public_address_is_allowed() -> None:
    for ip in ("::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"):
        check_address(ip, 80, Purpose.DELIVER)


def test_refusal_names_the_setting_with_what_is_listed_already(settings) -> None:
    settings.OUTBOUND_ALLOW = [ipaddress.ip_network("192.168.0.0/16")]

    with pytest.raises(OutboundRefused) as caught:
        check_address("10.1.2.3", 443, Purpose.DELIVER, host="hook.internal")
    assert caught.value.setting == "OUTBOUND_ALLOW=192.168.0.0/16,10.0.0.0/8"
    assert "hook.internal (10.1.2.3)" in caught.value.message
    assert "set OUTBOUND_ALLOW=192.168.0.0/16,10.0.0.0/8 to allow it" in str(caught.value)
    assert caught.value.kind == "refused"


def test_refusal_of_metadata_suggests_that_address_alone() -> None:
    with pytest.raises(OutboundRefused) as caught:
        check_address("::ffff:169.254.169.254", 80, Purpose.PROBE)
    assert caught.value.setting == "OUTBOUND_ALLOW=169.254.169.254/32"


def test_listed_networks_are_allowed_wrapped_too(settings) -> None:
    settings.OUTBOUND_ALLOW = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("169.254.169.254/32")]

    check_address("10.9.9.9", 443, Purpose.DELIVER)
    check_address("::ffff:10.9.9.9", 443, Purpose.DELIVER)
    check_address("169.254.169.254", 80, Purpose.PROBE)
    with pytest.raises(OutboundRefused):
        check_address("192.168.0.1", 443, Purpose.DELIVER)
    with pytest.raises(OutboundRefused):
        check_address("169.254.169.253", 80, Purpose.PROBE)


def test_all_ipv6_listed_does_not_open_what_is_wrapped(settings) -> None:
    settings.OUTBOUND_ALLOW = [ipaddress.ip_network("::/0")]

    with pytest.raises(OutboundRefused):
        check_address("64:ff9b::a9fe:a9fe", 80, Purpose.PROBE)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_own_endpoint_is_refused_for_every_purpose_and_setting(settings, purpose: Purpose) -> None:
    settings.OWN_ENDPOINTS = {("127.0.0.1", 6379), "/run/engine.sock"}
    settings.OUTBOUND_ALLOW = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]

    for ip in ("127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "0.0.0.0"):
        with pytest.raises(OutboundRefused, match="own database or Redis"):
            check_address(ip, 6379, purpose)
    check_address("127.0.0.1", 6380, purpose)
    check_address("10.0.0.1", 6379, purpose)


def test_own_endpoint_by_name_is_known_by_its_address(settings, monkeypatch) -> None:
    def look_up(host, port, *args, **options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("172.18.0.2", 5432))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    settings.OWN_ENDPOINTS = {("db", 5432)}

    with pytest.raises(OutboundRefused):
        check_address("172.18.0.2", 5432, Purpose.PROBE)
    with pytest.raises(OutboundRefused):
        check_host("DB.", 5432, Purpose.PROBE)
    check_address("172.18.0.3", 5432, Purpose.PROBE)


def test_own_socket_is_refused(settings) -> None:
    settings.OWN_ENDPOINTS = {"/run/engine.sock"}

    with pytest.raises(OutboundRefused):
        check_unix_path("/run/engine.sock")
    check_unix_path("/run/other.sock")


@pytest.mark.parametrize(
    "url",
    [
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://0xA9.254.0251.254",
        "http://[::ffff:169.254.169.254]/latest/meta-data",
        "http://[::ffff:a9fe:a9fe]/",
        "http://１６９.２５４.１６９.２５４/",
        "http://169。254。169。254/",
        "http://169.254.169.254./",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://METADATA.google.internal./",
        "http://instance-data/latest",
    ],
)
def test_metadata_in_any_notation_is_refused(url: str) -> None:
    with pytest.raises(OutboundRefused):
        check_url(url, Purpose.PROBE)


@pytest.mark.parametrize("url", ["http://2130706433/", "http://0x7f.1/", "http://127.1", "http://017700000001/"])
def test_loopback_in_any_notation_deliver_is_refused(url: str) -> None:
    check_url(url, Purpose.PROBE)
    with pytest.raises(OutboundRefused):
        check_url(url, Purpose.DELIVER)


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "ftp://example.com/", "file:///etc/passwd", "http://", "http:///path", "http://[::1"),
        *("http://exa mple.com/", "http://example.com:0/", "http://example.com:65536/", "http://example.com:x/"),
        *("http://a\\@b/", "http://1.2.3.4.5/", "http://256.1.1.1/", "http://08/", "http://[fe80::1%eth0]/"),
        *("http://exa\nmple.com/", "http://example.com/\r\nX: y", "http://-a.com/", "http://a..b/", "http://%31/"),
    ],
)
def test_malformed_url_is_invalid(url: str) -> None:
    with pytest.raises(InvalidTarget):
        check_url(url, Purpose.PROBE)


def test_url_is_brought_into_one_form() -> None:
    target = parse_url(" HTTPS://Us%40er:pa:ss@BÜCHER.example.:8443/a b/ü?q=1 2&r=%20#part ")

    assert (target.scheme, target.host, target.port) == ("https", "xn--bcher-kva.example", 8443)
    assert target.path == "/a%20b/%C3%BC?q=1%202&r=%20"
    assert (target.username, target.password) == ("Us@er", "pa:ss")
    assert target.host_header == "xn--bcher-kva.example:8443"
    assert parse_url("http://[2001:DB8:0::1]").host_header == "[2001:db8::1]"
    assert canonical_host("[::1]") == "::1"
