"""Routes of certificate monitors below `/api/v1/`."""

from django.urls import re_path

from apps.core.api.routers import ApiRouter
from apps.monitors.api.certificates.views import CertificateCheckViewSet, CertificateViewSet

router = ApiRouter()
router.register("certificates", CertificateViewSet, basename="certificate")

urlpatterns = [
    re_path(
        r"^certificates/(?P<id>[^/]+)/checks/?$",
        CertificateCheckViewSet.as_view({"get": "list"}),
        name="certificate-checks",
    ),
    *router.urls,
]
