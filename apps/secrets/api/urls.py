"""Routes below /api/v1. Literals come before parameters."""

from django.urls import include, path

from apps.core.api.routers import ApiRouter
from apps.secrets.api.views import SecretViewSet

router = ApiRouter()
router.register("secrets", SecretViewSet, basename="secret")

urlpatterns = [path("", include(router.urls))]
