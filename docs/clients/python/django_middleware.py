"""Django: each request is one transaction of one tenant, and a refusal is a response."""

from django.db import connection, transaction
from django.http import HttpResponse

from tenancy_errors import AccessDenied, Conflict, InvalidToken, QuotaExceeded, TenancyError, TenantUnavailable
from tenancy_errors import named, named_errors

STATUS = {InvalidToken: 401, AccessDenied: 403, TenantUnavailable: 403, Conflict: 409, QuotaExceeded: 429}


class TenantMiddleware:
    """Put it after what authenticates. A response that streams is sent when the transaction is over: read before."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        try:
            with named_errors(), transaction.atomic():
                if (tenant := tenant_of(request)) is not None:
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT tenancy.set_tenant(%s)", [tenant])
                response = self.get_response(request)
                if response.status_code >= 500:
                    transaction.set_rollback(True)
                return response
        except TenancyError as refusal:
            return refused(refusal)

    def process_exception(self, request, exception):
        """Django makes a response of a view's exception before __call__ sees it: the transaction must not commit."""
        transaction.set_rollback(True)
        refusal = named(exception)
        return None if refusal is None else refused(refusal)


def tenant_of(request):
    """acme.shop.example is acme's, shop.example nobody's. What logged the user in would say whether it may."""
    name, found, _ = request.get_host().partition(".shop.example")
    return name if found else None


def refused(refusal):
    return HttpResponse(f"{type(refusal).__name__} ({refusal.sqlstate})", status=STATUS[type(refusal)])
