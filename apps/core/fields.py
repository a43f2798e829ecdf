"""Model fields of the platform: `SealedTextField`, plaintext in Python and ciphertext in the database."""

from typing import Any, cast

from django import forms
from django.core.exceptions import FieldError
from django.db import models
from django.db.models import F, TextField, Value
from django.db.models.lookups import Exact
from django.db.models.query_utils import DeferredAttribute

from apps.core import crypto

MASK = "***"


class SealedToken(str):
    """Ciphertext as it stands in the database; the type tells it from plaintext that somebody assigned."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<sealed with {crypto.sealed_key_id(self)}>" if crypto.is_sealed(self) else "<sealed, damaged>"


class _Held:
    """What an instance keeps for a sealed column: the token as loaded, or plaintext that is not saved yet."""

    __slots__ = ("plaintext", "row_id", "token")

    def __init__(self, *, token: SealedToken | None = None, row_id: Any = None, plaintext: str | None = None) -> None:
        self.token = token
        self.row_id = row_id  # of the row the token was sealed for; None: not known when it was loaded
        self.plaintext = plaintext

    def __repr__(self) -> str:
        return repr(self.token) if self.token is not None else "<secret, not saved>"


class SealedAttribute(DeferredAttribute):
    """Give plaintext out and take it in, and open the ciphertext only when somebody asks.

    A row whose key is missing can therefore be listed, shown and saved; only reading the secret itself raises.
    """

    field: "SealedTextField"

    def __get__(self, instance: models.Model | None, cls: Any = None) -> Any:
        if instance is None:
            return self
        held = super().__get__(instance, cls)
        if not isinstance(held, _Held):
            return held
        if held.token is None:
            return held.plaintext
        return crypto.unseal(held.token, self.field.context_of(instance if held.row_id is None else held.row_id))

    def __set__(self, instance: models.Model, value: Any) -> None:
        if isinstance(value, SealedToken):
            value = _Held(token=value, row_id=instance.__dict__.get(instance._meta.pk.attname))
        elif isinstance(value, str) and value:
            value = _Held(plaintext=str(value))
        instance.__dict__[self.field.attname] = value


class SealedTextField(models.Field):
    """Keep a text sealed in the database; the attribute is plaintext.

    The row needs its id before it is saved (`default=new_id`), because the id is authenticated with the value. `None`
    stays NULL and "" stays "". Lookups other than `isnull` raise; `values()` gives the sealed token; `update()` and
    `bulk_update()` refuse plaintext. Forms and serializers that include the field by accident render a mask: it is
    deliberately not a `TextField`, for which they would render the text.

    Args:
        context: name that is authenticated instead of `table.column`; set it when a table or column is renamed, to the
            old `table.column`, else the old values don't open.
    """

    description = "Sealed text"
    descriptor_class = SealedAttribute

    def __init__(self, *args: Any, context: str = "", **kwargs: Any) -> None:
        self.context = context
        for option in ("unique", "db_index", "primary_key", "choices"):
            if kwargs.get(option):
                raise ValueError(f"A sealed field can't have {option}: the same text never gives the same ciphertext.")
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        if self.context:
            kwargs["context"] = self.context
        return name, path, args, kwargs

    def get_internal_type(self) -> str:
        return "TextField"

    def context_of(self, row: Any) -> str:
        """Return what is authenticated with the value of one row, given as instance or as id."""
        row_id = row.pk if isinstance(row, models.Model) else row
        return f"{self.context or f'{self.model._meta.db_table}.{self.column}'}:{row_id}"

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        return SealedToken(value) if value else value

    def to_python(self, value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return value
        return str(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        held = model_instance.__dict__.get(self.attname)
        if not isinstance(held, _Held):
            return super().pre_save(model_instance, add)
        if model_instance.pk is None:
            raise ValueError(f"{self.model.__name__} needs its id before {self.name} can be sealed.")
        if held.token is None:
            self._hold(model_instance, held.plaintext or "")
        elif held.row_id is None or held.row_id != model_instance.pk:
            # A copied instance (new pk) carries a token that opens only in the row it came from.
            self._hold(model_instance, getattr(model_instance, self.attname))
        return model_instance.__dict__[self.attname].token

    def _hold(self, instance: models.Model, plaintext: str) -> None:
        token = SealedToken(crypto.seal(plaintext, self.context_of(instance)))
        instance.__dict__[self.attname] = _Held(token=token, row_id=instance.pk)

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if value is None or value == "":
            return value
        if not isinstance(value, SealedToken):
            raise ValueError(
                f"{self.name} is sealed: it is set by saving an instance, not by update(), bulk_update() or a lookup."
            )
        return str(value)

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is sealed and can't be filtered on; only isnull works.")
        return super().get_lookup(lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        raise FieldError(f"{self.name} is sealed and can't be filtered on; only isnull works.")

    def value_from_object(self, obj: models.Model) -> Any:
        """Return a mask, never the secret: this feeds forms, `model_to_dict` and model serializers."""
        held = obj.__dict__.get(self.attname)
        return MASK if isinstance(held, _Held) else held

    def value_to_string(self, obj: models.Model) -> str:
        return self.value_from_object(obj) or ""

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        # A form never shows the secret, so an empty or masked input means "leave it as it is".
        if data not in (None, "", MASK):
            setattr(instance, self.name, data)

    def formfield(self, **kwargs: Any) -> Any:
        defaults: dict[str, Any] = {
            "form_class": forms.CharField,
            "widget": forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
            "strip": False,
        }
        return super().formfield(**{**defaults, **kwargs})


def sealed_value(instance: models.Model, name: str) -> str | None:
    """Return what the database holds for a sealed attribute, as far as the instance knows it.

    Returns:
        The token; None for NULL and for plaintext that is not saved yet; "" for "".
    """
    held = instance.__dict__.get(name)
    return held.token if isinstance(held, _Held) else held


def sealed_fields(model: type[models.Model]) -> list[SealedTextField]:
    """Return the sealed fields of a model, in the order of their declaration."""
    return [field for field in model._meta.concrete_fields if isinstance(field, SealedTextField)]


def reseal(instance: models.Model) -> list[str]:
    """Seal the secrets of one row with the current master key, where they still have an older one.

    Works on what the database holds, not on the instance, and leaves a secret alone that somebody changes meanwhile.

    Returns:
        Names of the fields that were written.

    Raises:
        WrongKey: a secret was sealed with a key that is not configured.
        DamagedValue: a secret was altered.
    """
    model = type(instance)
    rows = cast("Any", model)._base_manager.using(instance._state.db).filter(pk=instance.pk)
    written: list[str] = []
    for field in sealed_fields(model):
        token = rows.values_list(field.attname, flat=True).first()
        if not token or crypto.sealed_key_id(token) == crypto.current_key_id():
            continue
        context = field.context_of(instance)
        fresh = SealedToken(crypto.seal(crypto.unseal(token, context), context))
        unchanged = Exact(F(field.attname), Value(str(token), output_field=TextField()))
        if rows.filter(unchanged).update(**{field.attname: fresh}):
            setattr(instance, field.attname, fresh)
            written.append(field.attname)
    return written
