"""Pages of the console's lists."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

from apps.core.api.pagination import EXACT_UP_TO, capped_count


class CappedPaginator(Paginator):
    """Counts exactly up to 10,000 rows and no further: the first page of a million rows costs what one of ten does."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, at most 10,000."""
        rows: Any = self.object_list
        return capped_count(rows)[0] if isinstance(rows, QuerySet) else len(rows)

    @property
    def is_capped(self) -> bool:
        """Return whether there are more rows than are counted."""
        return self.count >= EXACT_UP_TO
