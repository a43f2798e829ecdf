"""SealedTextField on a table of its own."""

import copy
import pickle
from collections.abc import Iterator

import pytest
from django.core.exceptions import FieldError
from django.db import connection, models
from django.forms import modelform_factory
from django.forms.models import model_to_dict
from django.test.utils import isolate_apps
from rest_framework import serializers

from apps.core import crypto
from apps.core.fields import MASK, SealedTextField, reseal, sealed_fields, sealed_value
from apps.core.ids import new_id


class Safe(models.Model):
    """A row with secrets."""

    id = models.UUIDField(primary_key=True, default=new_id)
    name = models.CharField(max_length=50, blank=True)
    seed = SealedTextField()
    note = SealedTextField(null=True, blank=True)

    class Meta:
        # No installed app has this label, so no migration is ever made for it.
        app_label = "field_tests"


@pytest.fixture
def table(transactional_db: None) -> Iterator[None]:
    with connection.schema_editor() as editor:
        editor.create_model(Safe)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Safe)


def stored(row: Safe, column: str = "seed") -> str | None:
    """Return what stands in the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column} FROM field_tests_safe WHERE id = %s",
            [Safe._meta.pk.get_db_prep_value(row.pk, connection)],
        )
        return cursor.fetchone()[0]


def test_saved_row_is_ciphertext_in_the_database_and_plaintext_in_python(table) -> None:
    row = Safe.objects.create(seed="JBSWY3DP")

    assert row.seed == "JBSWY3DP"
    assert crypto.unseal(stored(row), f"field_tests_safe.seed:{row.pk}") == "JBSWY3DP"
    assert Safe.objects.get(pk=row.pk).seed == "JBSWY3DP"


def test_null_and_empty_stay_as_they_are(table) -> None:
    row = Safe.objects.create(seed="", note=None)

    loaded = Safe.objects.get(pk=row.pk)
    assert (loaded.seed, loaded.note) == ("", None)
    assert (stored(row), stored(row, "note")) == ("", None)


def test_values_give_the_token_only(table) -> None:
    row = Safe.objects.create(seed="plain")

    token = Safe.objects.values("seed").get()["seed"]
    assert token == stored(row)
    assert "plain" not in token
    assert "plain" not in repr(token)


def test_representations_never_show_the_text(table) -> None:
    row = Safe(seed="plain-unsaved")
    assert "plain" not in repr(row) + str(row) + repr(row.__dict__)

    row.save()
    assert "plain" not in repr(row) + repr(row.__dict__) + str(model_to_dict(row))


def test_model_serializer_by_accident_renders_a_mask(table) -> None:
    class Accident(serializers.ModelSerializer):
        class Meta:
            model = Safe
            fields = "__all__"

    row = Safe.objects.create(seed="plain")

    assert Accident(row).data["seed"] == MASK
    assert Accident(row).data["note"] is None


def test_form_by_accident_renders_nothing_and_empty_input_keeps_the_secret(table) -> None:
    form_class = modelform_factory(Safe, fields=["name", "seed"])
    row = Safe.objects.create(seed="plain")
    assert "plain" not in str(form_class(instance=row))

    kept = form_class({"name": "new", "seed": MASK}, instance=row)
    assert kept.is_valid()
    kept.save()
    assert Safe.objects.get().seed == "plain"

    changed = form_class({"name": "new", "seed": "other"}, instance=row)
    assert changed.is_valid()
    changed.save()
    assert Safe.objects.get().seed == "other"


def test_wrong_key_rows_can_be_listed_and_saved_but_not_read(table, settings) -> None:
    row = Safe.objects.create(seed="plain", name="a")
    before = stored(row)
    settings.VAULT_KEY = crypto.generate_key()

    loaded = Safe.objects.get()
    loaded.name = "b"
    loaded.save()

    assert Safe.objects.get().name == "b"
    assert stored(row) == before
    with pytest.raises(crypto.WrongKey):
        _ = loaded.seed


def test_unchanged_secret_is_not_sealed_again(table) -> None:
    row = Safe.objects.create(seed="plain")
    before = stored(row)

    Safe.objects.get().save()

    assert stored(row) == before


def test_token_of_another_row_does_not_open(table) -> None:
    one, two = Safe.objects.create(seed="one"), Safe.objects.create(seed="two")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE field_tests_safe SET seed = %s", [stored(one)])

    with pytest.raises(crypto.DamagedValue):
        _ = Safe.objects.get(pk=two.pk).seed


def test_copied_instance_is_sealed_for_its_new_row(table) -> None:
    Safe.objects.create(seed="plain")
    row = Safe.objects.get()
    row.pk, row._state.adding = new_id(), True
    row.save()

    assert [each.seed for each in Safe.objects.all()] == ["plain", "plain"]


def test_deferred_secret_is_loaded_when_asked_for(table, django_assert_num_queries) -> None:
    Safe.objects.create(seed="plain")
    row = Safe.objects.defer("seed").get()

    with django_assert_num_queries(1):
        assert row.seed == "plain"
    assert Safe.objects.only("seed").get().seed == "plain"


def test_refresh_brings_the_new_secret(table) -> None:
    row = Safe.objects.create(seed="old")
    other = Safe.objects.get()
    other.seed = "new"
    other.save(update_fields=["seed"])

    row.refresh_from_db()
    assert row.seed == "new"
    row.save()
    assert Safe.objects.get().seed == "new"


def test_update_fields_without_the_secret_leaves_it(table) -> None:
    row = Safe.objects.create(seed="old")
    row.seed, row.name = "new", "b"
    row.save(update_fields=["name"])

    assert Safe.objects.get().seed == "old"
    row.save(update_fields=["seed"])
    assert Safe.objects.get().seed == "new"


def test_bulk_create_seals(table) -> None:
    Safe.objects.bulk_create([Safe(seed="a"), Safe(seed="b")])

    assert sorted(row.seed for row in Safe.objects.all()) == ["a", "b"]
    assert all(crypto.is_sealed(token) for token in Safe.objects.values_list("seed", flat=True))


@pytest.mark.parametrize("lookup", ["seed", "seed__contains", "seed__startswith", "seed__in", "seed__lower"])
def test_filter_on_the_secret_raises(table, lookup: str) -> None:
    with pytest.raises(FieldError):
        list(Safe.objects.filter(**{lookup: "plain"}))


def test_filter_isnull_works(table) -> None:
    Safe.objects.create(seed="a", note=None)
    Safe.objects.create(seed="b", note="n")

    assert Safe.objects.filter(note__isnull=False).get().seed == "b"


def test_update_and_bulk_update_refuse_plaintext(table) -> None:
    row = Safe.objects.create(seed="plain", note="n")
    with pytest.raises(ValueError, match="sealed"):
        Safe.objects.update(seed="leak")
    row.seed = "leak"
    with pytest.raises(ValueError, match="sealed"):
        Safe.objects.bulk_update([row], ["seed"])

    Safe.objects.update(note=None)
    assert Safe.objects.get().note is None
    assert Safe.objects.get().seed == "plain"


def test_row_without_id_is_refused() -> None:
    row = Safe(seed="plain")
    row.pk = None

    with pytest.raises(ValueError, match="id"):
        Safe._meta.get_field("seed").pre_save(row, True)


def test_pickled_and_copied_instances_keep_the_secret_sealed(table) -> None:
    row = Safe.objects.create(seed="plain-text")
    assert row.seed == "plain-text"

    # The whole instance can't be pickled here, for want of an installed app; its state is what counts.
    data = pickle.dumps(row.__dict__)
    assert b"plain-text" not in data
    for state in (pickle.loads(data), copy.deepcopy(row.__dict__)):
        twin = Safe()
        twin.__dict__.update(state)
        assert twin.seed == "plain-text"


def test_reseal_after_rotation_writes_only_old_ones(table, settings) -> None:
    row = Safe.objects.create(seed="plain", note="n")
    old = settings.VAULT_KEY
    settings.VAULT_KEY, settings.VAULT_KEYS_OLD = crypto.generate_key(), [old]

    assert reseal(row) == ["seed", "note"]
    assert reseal(row) == []

    settings.VAULT_KEYS_OLD = []
    assert (Safe.objects.get().seed, row.seed, row.note) == ("plain", "plain", "n")
    assert crypto.sealed_key_id(stored(row)) == crypto.current_key_id()


def test_sealed_value_shows_what_the_database_holds(table) -> None:
    row = Safe(seed="plain", note=None)
    assert sealed_value(row, "seed") is None

    row.save()
    assert sealed_value(row, "seed") == stored(row)
    assert sealed_value(row, "note") is None
    assert [field.name for field in sealed_fields(Safe)] == ["seed", "note"]


def test_context_option_survives_migrations_and_opens_after_a_rename() -> None:
    field = SealedTextField(context="old_table.old_column")
    _, path, args, kwargs = field.deconstruct()

    assert SealedTextField(*args, **kwargs).context == "old_table.old_column"
    assert path == "apps.core.fields.SealedTextField"
    assert field.context_of("7") == "old_table.old_column:7"


@pytest.mark.parametrize("option", ["unique", "db_index", "primary_key"])
def test_indexes_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        SealedTextField(**{option: True})


@isolate_apps("apps.core")
def test_inherited_field_names_its_own_table() -> None:
    class Base(models.Model):
        key = SealedTextField()

        class Meta:
            abstract = True

    class Concrete(Base):
        class Meta:
            app_label = "core"

    assert Concrete._meta.get_field("key").context_of(1) == "core_concrete.key:1"
