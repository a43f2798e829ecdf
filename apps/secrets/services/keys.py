"""The vault's own key: another one, everything sealed anew, the former one retired. All of it while everything runs."""

import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import transaction

from apps.core import crypto
from apps.core.care.vault import Resealed, left_to_reseal, reseal_everything
from apps.core.errors import Conflict
from apps.core.events import Subject, emit
from apps.core.principals import Principal
from config import keys as key_files

#: Until then every process of this machine has taken the new key.
TAKEN_AFTER_S = crypto.LOOK_EVERY_S + 0.5
#: What a slow transaction wrote with the former key meanwhile is met by a further pass.
PASSES = 5
_HOW = (
    "The vault key comes from VAULT_KEY. Make another one, put it into VAULT_KEY and the present one into"
    " VAULT_KEYS_OLD of every process, restart them, and run `manage.py vault rekey`."
)


def replace_key(*, actor: Principal) -> tuple[str, str]:
    """Make a new vault key where it is kept in a file; the former one goes on opening what it sealed.

    Every process of the machine takes it within a second, also what is sealed with it in the meantime is opened at
    once.

    Returns:
        The ids of the new and of the former key.

    Raises:
        Conflict: the key comes from the environment, or an earlier change is not finished (409).

    Emits: vault.key_replaced.
    """
    if settings.VAULT_KEY_FILE is None:
        raise Conflict(_HOW, code="key_from_environment")
    left = left_to_reseal()
    if left:
        raise Conflict(
            f"{left} values still have a former key; finish that first: `manage.py vault rekey`.",
            code="rekey_unfinished",
        )
    former = crypto.current_key_id()
    key_files.replace_vault_key(Path(settings.VAULT_KEY_FILE).parent.parent)
    new = crypto.known_key_ids()[0]
    with transaction.atomic():
        emit(
            "vault.key_replaced",
            subject=Subject("platform", "vault", "Vault"),
            actor=actor,
            level="warning",
            data={"key_id": new, "former_key_id": former},
        )
    time.sleep(TAKEN_AFTER_S)
    return new, former


def rekey(*, actor: Principal, progress: Callable[[str, int, int], None] = lambda name, done, total: None) -> Resealed:
    """Seal everything that has a former key with the present one.

    Returns:
        What was done; `left` counts what could not be opened.

    Emits: vault.rekeyed, where something was done.
    """
    result = reseal_everything(progress=progress)
    for _ in range(PASSES):
        if result.left <= len(result.broken):
            break
        time.sleep(TAKEN_AFTER_S)
        again = reseal_everything(progress=progress)
        result.done, result.left, result.broken = result.done + again.done, again.left, again.broken
    if result.done:
        with transaction.atomic():
            emit(
                "vault.rekeyed",
                subject=Subject("platform", "vault", "Vault"),
                actor=actor,
                data={
                    "key_id": crypto.current_key_id(),
                    "values": result.done,
                    "left": result.left,
                    "broken": len(result.broken),
                },
            )
    return result


def retire_keys(*, actor: Principal) -> list[str]:
    """Remove the former keys from the key file.

    Returns:
        Their ids.

    Raises:
        Conflict: something is still sealed with one of them, or they come from the environment (409).
    """
    left = left_to_reseal()
    if left:
        raise Conflict(f"{left} values still need a former key; run `manage.py vault rekey` first.", code="keys_needed")
    former = crypto.known_key_ids()[1:]
    if settings.VAULT_KEY_FILE is None:
        if former:
            raise Conflict(
                f"Nothing needs {', '.join(former)} any more: take them out of VAULT_KEYS_OLD.",
                code="key_from_environment",
            )
        return []
    folder = Path(settings.VAULT_KEY_FILE).parent.parent
    gone = [one for one in former if one in _ids_in_file(folder)]
    key_files.forget_former_vault_keys(folder)
    return gone


def _ids_in_file(folder: Path) -> set[str]:
    return {crypto.id_of_key(text) for text in key_files.former_vault_keys(folder)}
