"""Sealed values: what opens, what does not, and what the error says."""

import pytest

from apps.core import crypto


def test_sealed_text_same_context_opens() -> None:
    token = crypto.seal("häslich & geheim 🔑", "table.column:1")

    assert crypto.unseal(token, "table.column:1") == "häslich & geheim 🔑"
    assert token.startswith(f"wk1.{crypto.current_key_id()}.")
    assert "geheim" not in token


def test_sealed_text_twice_gives_different_tokens() -> None:
    assert crypto.seal("same", "c") != crypto.seal("same", "c")


def test_sealed_text_other_row_does_not_open() -> None:
    token = crypto.seal("secret", "table.column:1")

    with pytest.raises(crypto.DamagedValue):
        crypto.unseal(token, "table.column:2")


@pytest.mark.parametrize("part", [2, 3])
def test_sealed_text_altered_does_not_open(part: int) -> None:
    parts = crypto.seal("secret", "c").split(".")
    parts[part] = ("A" if parts[part][0] != "A" else "B") + parts[part][1:]

    with pytest.raises(crypto.DamagedValue):
        crypto.unseal(".".join(parts), "c")


@pytest.mark.parametrize(
    "text", ["", "plain", "wk1.a.b", "wk2.12345678.QQ.QQ", "wk1.12345678.!!.QQ", "wk1.12345678.é.QQ"]
)
def test_unseal_something_else_raises(text: str) -> None:
    with pytest.raises(crypto.DamagedValue):
        crypto.unseal(text, "c")
    assert not crypto.is_sealed(text)


def test_unseal_short_parts_raises() -> None:
    with pytest.raises(crypto.DamagedValue):
        crypto.unseal(f"wk1.{crypto.current_key_id()}.QQ.QQ", "c")


def test_wrong_key_names_the_key_that_is_needed(settings) -> None:
    token, needed = crypto.seal("secret", "c"), crypto.current_key_id()
    settings.VAULT_KEY = crypto.generate_key()

    with pytest.raises(crypto.WrongKey, match=needed) as caught:
        crypto.unseal(token, "c")
    assert caught.value.key_id == needed
    assert crypto.current_key_id() in str(caught.value)


def test_old_key_listed_opens_and_new_values_take_the_current(settings) -> None:
    token, old = crypto.seal("secret", "c"), settings.VAULT_KEY
    settings.VAULT_KEY = crypto.generate_key()
    settings.VAULT_KEYS_OLD = [old]

    assert crypto.unseal(token, "c") == "secret"
    assert crypto.sealed_key_id(crypto.seal("x", "c")) == crypto.current_key_id() != crypto.sealed_key_id(token)


@pytest.mark.parametrize("key", ["", "not base64!", "c2hvcnQ="])
def test_malformed_key_is_refused(settings, key: str) -> None:
    settings.VAULT_KEY = key

    with pytest.raises(crypto.BadKey, match="VAULT_KEY"):
        crypto.seal("secret", "c")


def test_url_safe_key_without_padding_is_the_same_key(settings) -> None:
    token = crypto.seal("secret", "c")
    settings.VAULT_KEY = settings.VAULT_KEY.replace("+", "-").replace("/", "_").rstrip("=")

    assert crypto.unseal(token, "c") == "secret"


def test_canary_right_key_is_true() -> None:
    assert crypto.check_canary(crypto.make_canary()) is True


def test_canary_wrong_key_raises(settings) -> None:
    canary = crypto.make_canary()
    settings.VAULT_KEY = crypto.generate_key()

    with pytest.raises(crypto.WrongKey):
        crypto.check_canary(canary)
