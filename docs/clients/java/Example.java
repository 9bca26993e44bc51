// JDBC with HikariCP. java -cp 'postgresql.jar:HikariCP.jar:slf4j-api.jar' Example.java
// PGHOST, PGPORT, PGDATABASE, PGUSER and PGPASSWORD tell where; the driver knows TCP alone.

import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import javax.sql.DataSource;

public class Example {
    /** What pg_tenancy refuses, by name; getCause() is the driver's, with the server's DETAIL and HINT. */
    static class TenancyException extends SQLException {
        TenancyException(SQLException cause) {
            super(cause.getMessage(), cause.getSQLState(), cause);
        }
    }

    /** No such tenant, no access to it, a second one in a transaction, another's row. */
    static class AccessDenied extends TenancyException {
        AccessDenied(SQLException cause) { super(cause); }
    }

    /** No tenant, host or user can have that name. */
    static class Malformed extends TenancyException {
        Malformed(SQLException cause) { super(cause); }
    }

    /** The tenant is suspended or archived, or lives in another region. */
    static class TenantUnavailable extends TenancyException {
        TenantUnavailable(SQLException cause) { super(cause); }
    }

    /** A limit of the tenant is reached. */
    static class QuotaExceeded extends TenancyException {
        QuotaExceeded(SQLException cause) { super(cause); }
    }

    /** An error was swallowed within the transaction: nothing of that is kept. */
    static class RolledBack extends TenancyException {
        RolledBack(SQLException cause) { super(cause); }
    }

    /** The token is malformed, expired, or not signed by a key that the database knows. */
    static class InvalidToken extends TenancyException {
        InvalidToken(SQLException cause) { super(cause); }
    }

    /** Somebody else wrote first, or two waited for each other: do the transaction again. */
    static class Conflict extends TenancyException {
        Conflict(SQLException cause) { super(cause); }
    }

    static SQLException named(SQLException e) {
        if (e instanceof TenancyException || e.getSQLState() == null) return e;
        return switch (e.getSQLState()) {
            case "42501" -> new AccessDenied(e);
            case "22023" -> new Malformed(e);
            case "55000" -> new TenantUnavailable(e);
            case "53400" -> new QuotaExceeded(e);
            case "25P02" -> new RolledBack(e);
            case "28000" -> new InvalidToken(e);
            case "40001", "40P01" -> new Conflict(e);
            default -> e;
        };
    }

    interface Work<T> {
        T run(Connection connection) throws SQLException;
    }

    /** Runs work in a transaction that acts for this tenant; for null it sees nothing. */
    static <T> T inTenant(DataSource pool, String tenant, Work<T> work) throws SQLException {
        try (Connection connection = pool.getConnection()) {
            connection.setAutoCommit(false);
            try {
                if (tenant != null) call(connection, "SELECT tenancy.set_tenant(?)", tenant);
                T result = work.run(connection);
                // Where an error was swallowed, this is another one; COMMIT would be a ROLLBACK, and none.
                call(connection, "SELECT");
                connection.commit();
                return result;
            } catch (SQLException | RuntimeException e) {
                connection.rollback();
                throw e;
            }
        } catch (SQLException e) {
            throw named(e);
        }
    }

    static Void call(Connection connection, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
            statement.execute();
            return null;
        }
    }

    static String orders(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT item, quantity FROM orders ORDER BY item");
                ResultSet rows = statement.executeQuery()) {
            List<String> found = new ArrayList<>();
            while (rows.next()) found.add(rows.getString("item") + " " + rows.getInt("quantity"));
            return found.isEmpty() ? "nothing" : String.join(", ", found);
        }
    }

    static int quantity(Connection connection, String item) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT quantity FROM orders WHERE item = ?")) {
            statement.setString(1, item);
            try (ResultSet rows = statement.executeQuery()) {
                rows.next();
                return rows.getInt(1);
            }
        }
    }

    /** Says by what name work is refused; that it is refused by another, or not at all, is an error. */
    static void refused(String what, Class<? extends TenancyException> kind, DataSource pool, String tenant, Work<Void> work)
            throws SQLException {
        try {
            inTenant(pool, tenant, work);
        } catch (TenancyException e) {
            if (!kind.isInstance(e)) throw e;
            System.out.println(what + ": " + e.getClass().getSimpleName() + " (" + e.getSQLState() + ")");
            return;
        }
        throw new AssertionError(what + " is not refused");
    }

    /** Reads, computes and writes; again when another writer was quicker. */
    static void restock(DataSource pool, DataSource other, String item) throws SQLException {
        for (int attempt = 1; ; attempt++) {
            boolean first = attempt == 1;
            try {
                inTenant(pool, "acme", connection -> {
                    int quantity = quantity(connection, item);
                    if (first) {
                        inTenant(other, "acme", quicker ->
                                call(quicker, "UPDATE orders SET quantity = quantity + 1 WHERE item = ?", item));
                    }
                    return call(connection, "UPDATE orders SET quantity = ? WHERE item = ?", quantity + 1, item);
                });
                return;
            } catch (Conflict e) {
                if (attempt == 3) throw e;
                System.out.println("two writers at once: Conflict (" + e.getSQLState() + "), and it is tried again");
            }
        }
    }

    static int backend(Connection connection) throws SQLException {
        return connection.unwrap(org.postgresql.PGConnection.class).getBackendPID();
    }

    static void story(DataSource pool, DataSource other) throws SQLException {
        System.out.println("without a tenant: " + inTenant(pool, null, Example::orders));
        System.out.println("globex: " + inTenant(pool, "globex", Example::orders));
        int backend = inTenant(pool, "acme", connection -> {
            call(connection, "INSERT INTO orders (item) VALUES (?)", "anvil");
            System.out.println("acme: " + orders(connection));
            return backend(connection);
        });

        refused("a tenant that is not there", AccessDenied.class, pool, "acme' OR 'a' = 'a", connection -> null);
        refused("a name that no tenant can have", Malformed.class, pool, "a".repeat(256), connection -> null);
        refused("two tenants in one transaction", AccessDenied.class, pool, "acme", connection ->
                call(connection, "SELECT tenancy.set_tenant(?)", "globex"));
        refused("a suspended tenant", TenantUnavailable.class, pool, "initech", connection -> null);
        Work<Void> tooMany = connection -> {
            for (String item : List.of("rope", "rocket")) call(connection, "INSERT INTO orders (item) VALUES (?)", item);
            return null;
        };
        refused("more than the quota", QuotaExceeded.class, pool, "acme", tooMany);
        refused("a refusal that is swallowed", RolledBack.class, pool, "acme", connection -> {
            try {
                return tooMany.run(connection);
            } catch (SQLException e) {
                return null;
            }
        });
        refused("a token that proves nothing", InvalidToken.class, pool, null, connection ->
                call(connection, "SELECT tenancy.authenticate(?)", "e30.e30.e30"));
        refused("a deadlock", Conflict.class, pool, "acme", connection ->
                call(connection, "DO $$BEGIN RAISE deadlock_detected; END$$"));

        restock(pool, other, "anvil");
        System.out.println("acme: " + inTenant(pool, "acme", Example::orders));

        // The pool has one connection, and this is it: what the transactions before it had set is gone.
        try (Connection connection = pool.getConnection();
                PreparedStatement statement = connection.prepareStatement("SELECT tenancy.current_tenant()");
                ResultSet rows = statement.executeQuery()) {
            rows.next();
            if (backend(connection) != backend || rows.getString(1) != null) throw new AssertionError("a tenant was left");
            System.out.println("the connection's next user: " + orders(connection));
        }
    }

    static HikariDataSource connect() {
        var environment = System.getenv();
        HikariDataSource pool = new HikariDataSource();
        // On loopback without TLS; elsewhere sslmode=verify-full.
        pool.setJdbcUrl("jdbc:postgresql://" + environment.get("PGHOST") + ":" + environment.get("PGPORT") + "/"
                + environment.get("PGDATABASE") + "?sslmode=disable");
        pool.setUsername(environment.get("PGUSER"));
        pool.setPassword(environment.get("PGPASSWORD"));
        pool.setMaximumPoolSize(1);
        return pool;
    }

    public static void main(String[] arguments) throws SQLException {
        try (HikariDataSource pool = connect(); HikariDataSource other = connect()) {
            story(pool, other);
        }
    }
}
