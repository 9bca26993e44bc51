"""Django: each request is one transaction of one tenant, and a refusal is a response."""

from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.http import HttpResponse

from tenancy_errors import AccessDenied, Conflict, InvalidToken, Malformed, QuotaExceeded, RolledBack, TenancyError
from tenancy_errors import TenantUnavailable, named, named_errors, nothing_swallowed

STATUS = {
    Malformed: 400,
    InvalidToken: 401,
    AccessDenied: 403,
    TenantUnavailable: 403,
    Conflict: 409,
    QuotaExceeded: 429,
    RolledBack: 500,
}


class TenantMiddleware:
    """Put it after what authenticates. A response that streams is sent when the transaction is over: read before.

    The tenant is that of the database `default`. Others have none, and show nothing of what is protected there.
    """

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        try:
            with named_errors(), transaction.atomic():
                if (tenant := tenant_of(request)) is not None:
                    act_for(tenant, request.user)
                response = self.get_response(request)
                if response.status_code >= 500:
                    transaction.set_rollback(True)
                elif response.status_code < 400:
                    nothing_swallowed(connection.connection)
                return response
        except TenancyError as refusal:
            return refused(refusal)

    def process_exception(self, request, exception):
        """Django makes a response of a view's exception before __call__ sees it: the transaction must not commit."""
        transaction.set_rollback(True)
        refusal = named(exception)
        return None if refusal is None else refused(refusal)


def tenant_of(request):
    """acme.shop.example is acme's, shop.example nobody's. That is what the request says, and no proof: see act_for."""
    name, found, _ = request.get_host().partition(".shop.example")
    return name if found else None


def act_for(tenant, user):
    """The tenant is the transaction's, where the user who is logged in is one of its members."""
    member = str(user.pk) if user.is_authenticated else ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('tenancy.user_id', %s, true), tenancy.set_tenant(%s)", [member, tenant])
        cursor.execute("SELECT tenancy.is_member()")
        if cursor.fetchone() != (True,):
            raise PermissionDenied


def refused(refusal):
    return HttpResponse(f"{type(refusal).__name__} ({refusal.sqlstate})", status=STATUS[type(refusal)])
