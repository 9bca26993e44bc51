"""Django 5 with its pool and a middleware: the story as requests to an application, by WSGI and without a web server."""

import os

import django
from django.conf import settings

# As libpq does, PGHOST and so on tell where; the pool is Django's own (5.1). "another" stands for another server's process.
DATABASE = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ["PGDATABASE"],
    "OPTIONS": {"pool": {"min_size": 1, "max_size": 1}},
}
settings.configure(
    ALLOWED_HOSTS=[".shop.example"],
    DATABASES={"default": DATABASE, "another": {**DATABASE}},
    MIDDLEWARE=[f"{__name__}.authenticated", "django_middleware.TenantMiddleware"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)
django.setup()

from types import SimpleNamespace  # noqa: E402
from wsgiref.util import setup_testing_defaults  # noqa: E402

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import DatabaseError, connection, models, transaction  # noqa: E402
from django.db.models import F  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


def authenticated(get_response):
    """Stands for django.contrib.auth, which would need tables of its own: here the web server has logged the user in."""

    def middleware(request):
        name = request.META.get("REMOTE_USER")
        request.user = SimpleNamespace(pk=name, is_authenticated=name is not None)
        return get_response(request)

    return middleware


class Order(models.Model):
    """The tenant is none of the application's fields: it comes from the context."""

    id = models.BigAutoField(primary_key=True)
    item = models.TextField()
    quantity = models.IntegerField(default=1)

    class Meta:
        app_label = "shop"
        db_table = "orders"
        managed = False


def show(request, using="default"):
    found = ", ".join(f"{order.item} {order.quantity}" for order in Order.objects.using(using).order_by("item"))
    return HttpResponse(found or "nothing")


def add(request, items):
    for item in items.split(","):
        Order.objects.create(item=item)
    return show(request)


def swallow(request, items):
    try:
        return add(request, items)
    except DatabaseError:
        return HttpResponse("added")


def deadlock(request):
    with connection.cursor() as cursor:
        cursor.execute("DO $$BEGIN RAISE deadlock_detected; END$$")


def switch(request, tenant):
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenancy.set_tenant(%s)", [tenant])


def log_in(request, token):
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenancy.authenticate(%s)", [token])


def restock(request, item, attempt):
    """Reads, computes and writes; in the first attempt another writer is quicker."""
    order = Order.objects.get(item=item)
    if attempt == 1:
        with transaction.atomic(using="another"), transaction.get_connection("another").cursor() as cursor:
            cursor.execute("SELECT tenancy.set_tenant(%s)", ["acme"])
            Order.objects.using("another").filter(item=item).update(quantity=F("quantity") + 1)
    order.quantity += 1
    order.save()
    return show(request)


def backend(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), tenancy.current_tenant()")
        return HttpResponse(" ".join(map(str, cursor.fetchone())))


urlpatterns = [
    path("orders", show),
    path("elsewhere", show, {"using": "another"}),
    path("add/<items>", add),
    path("swallow/<items>", swallow),
    path("switch/<tenant>", switch),
    path("log-in/<token>", log_in),
    path("deadlock", deadlock),
    path("restock/<item>/<int:attempt>", restock),
    path("backend", backend),
]

application = get_wsgi_application()


def get(host, page, user="alice"):
    """What a web server does with a request: the response's status and text."""
    request = {"HTTP_HOST": host, "PATH_INFO": page} | ({"REMOTE_USER": user} if user else {})
    setup_testing_defaults(request)
    status = []
    response = application(request, lambda line, headers: status.append(int(line.split()[0])))
    text = b"".join(response).decode()
    response.close()
    return status[0], text


def story():
    print("without a tenant:", *get("shop.example", "/orders")[1:])
    print("globex:", *get("globex.shop.example", "/orders")[1:])
    print("acme:", *get("acme.shop.example", "/add/anvil")[1:])
    pid = get("acme.shop.example", "/backend")[1].split()[0]

    for what, host, page, expected in [
        ("a tenant that is not there", "nobody.shop.example", "/orders", 403),
        ("a name that no tenant can have", f"{'a' * 256}.shop.example", "/orders", 400),
        ("two tenants in one transaction", "acme.shop.example", "/switch/globex", 403),
        ("a suspended tenant", "initech.shop.example", "/orders", 403),
        ("more than the quota", "acme.shop.example", "/add/rope,rocket", 429),
        ("a refusal that is swallowed", "acme.shop.example", "/swallow/rope,rocket", 500),
        ("a token that proves nothing", "shop.example", "/log-in/e30.e30.e30", 401),
        ("a deadlock", "acme.shop.example", "/deadlock", 409),
    ]:
        status, refusal = get(host, page)
        assert status == expected, f"{page}: {status}"
        print(f"{what}: {refusal}")

    # Bob is a member of globex alone; whoever is not logged in, of none. The other database has no tenant.
    assert get("globex.shop.example", "/orders", "bob") == (200, "umbrella 5")
    assert get("acme.shop.example", "/orders", "bob")[0] == get("acme.shop.example", "/orders", None)[0] == 403
    assert get("acme.shop.example", "/elsewhere") == (200, "nothing")

    # The client's part: what conflicted is asked for again.
    attempt = 1
    while (response := get("acme.shop.example", f"/restock/anvil/{attempt}"))[0] == 409:
        print(f"two writers at once: {response[1]}, and it is tried again")
        attempt += 1
    print("acme:", *get("acme.shop.example", "/orders")[1:])

    # The pool has one connection, and this is it: what the requests before it had set is gone.
    assert get("shop.example", "/backend") == (200, f"{pid} None")
    print("the connection's next user:", *get("shop.example", "/orders")[1:])


if __name__ == "__main__":
    story()
