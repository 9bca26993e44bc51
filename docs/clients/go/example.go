// pgx with its pool. Connects as libpq does: PGHOST, PGPORT, PGDATABASE, PGUSER.
//
// Written for pgx 4, which Debian packages; with pgx 5 the paths are github.com/jackc/pgx/v5/…, pgconn included,
// pool.BeginFunc(ctx, work) is pgx.BeginFunc(ctx, pool, work), and pgxpool.ConnectConfig is pgxpool.NewWithConfig.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

// What pg_tenancy refuses, for errors.Is; the server's error is there for errors.As.
var (
	// ErrAccessDenied: no such tenant, no access to it, a second one in a transaction, another's row.
	ErrAccessDenied = errors.New("AccessDenied")
	// ErrMalformed: no tenant, host or user can have that name.
	ErrMalformed = errors.New("Malformed")
	// ErrTenantUnavailable: the tenant is suspended or archived, or lives in another region.
	ErrTenantUnavailable = errors.New("TenantUnavailable")
	// ErrQuotaExceeded: a limit of the tenant is reached; Detail has what was used and asked for.
	ErrQuotaExceeded = errors.New("QuotaExceeded")
	// ErrRolledBack: an error was swallowed within the transaction; nothing of that is kept.
	ErrRolledBack = errors.New("RolledBack")
	// ErrInvalidToken: the token is malformed, expired, or not signed by a key that the database knows.
	ErrInvalidToken = errors.New("InvalidToken")
	// ErrConflict: somebody else wrote first, or two waited for each other; do the transaction again.
	ErrConflict = errors.New("Conflict")
)

var bySQLState = map[string]error{
	"42501": ErrAccessDenied,
	"22023": ErrMalformed,
	"55000": ErrTenantUnavailable,
	"53400": ErrQuotaExceeded,
	"25P02": ErrRolledBack,
	"28000": ErrInvalidToken,
	"40001": ErrConflict,
	"40P01": ErrConflict,
}

// A Refusal is the server's error, and the name it goes by.
type Refusal struct {
	*pgconn.PgError
	Kind error
}

func (r *Refusal) Is(target error) bool { return target == r.Kind }
func (r *Refusal) Unwrap() error        { return r.PgError }
func (r *Refusal) Error() string        { return fmt.Sprintf("%v: %s (%s)", r.Kind, r.Message, r.Code) }

func named(err error) error {
	var server *pgconn.PgError
	var known *Refusal
	// COMMIT of a transaction that had failed: pgx looks at what it is answered, and the server calls it no error.
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		err = &pgconn.PgError{Code: "25P02", Message: err.Error()}
	}
	if !errors.As(err, &known) && errors.As(err, &server) && bySQLState[server.Code] != nil {
		return &Refusal{server, bySQLState[server.Code]}
	}
	return err
}

// inTenant runs work in a transaction that acts for this tenant.
func inTenant(ctx context.Context, pool *pgxpool.Pool, tenant string, work func(pgx.Tx) error) error {
	return named(pool.BeginFunc(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT tenancy.set_tenant($1)", tenant); err != nil {
			return err
		}
		return work(tx)
	}))
}

// Pools and transactions alike.
type querier interface {
	Query(ctx context.Context, sql string, args ...interface{}) (pgx.Rows, error)
}

// printOrders prints what there is to see.
func printOrders(ctx context.Context, db querier, title string) error {
	rows, err := db.Query(ctx, "SELECT item, quantity FROM orders ORDER BY item")
	if err != nil {
		return err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var item string
		var quantity int
		if err := rows.Scan(&item, &quantity); err != nil {
			return err
		}
		found = append(found, fmt.Sprintf("%s %d", item, quantity))
	}
	if len(found) == 0 {
		found = []string{"nothing"}
	}
	fmt.Printf("%s: %s\n", title, strings.Join(found, ", "))
	return rows.Err()
}

// restock reads, computes and writes; again when another writer was quicker.
func restock(ctx context.Context, pool, other *pgxpool.Pool, item string) error {
	for attempt := 1; ; attempt++ {
		err := inTenant(ctx, pool, "acme", func(tx pgx.Tx) error {
			var quantity int
			err := tx.QueryRow(ctx, "SELECT quantity FROM orders WHERE item = $1", item).Scan(&quantity)
			if err != nil {
				return err
			}
			if attempt == 1 {
				err = inTenant(ctx, other, "acme", func(quicker pgx.Tx) error {
					_, err := quicker.Exec(ctx, "UPDATE orders SET quantity = quantity + 1 WHERE item = $1", item)
					return err
				})
				if err != nil {
					return err
				}
			}
			_, err = tx.Exec(ctx, "UPDATE orders SET quantity = $1 WHERE item = $2", quantity+1, item)
			return err
		})
		if !errors.Is(err, ErrConflict) || attempt == 3 {
			return err
		}
		fmt.Printf("two writers at once: %s, and it is tried again\n", name(err))
	}
}

// name tells what err goes by, and its SQLSTATE.
func name(err error) string {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return fmt.Sprintf("%v (%s)", refusal.Kind, refusal.Code)
	}
	return fmt.Sprint(err)
}

func story(ctx context.Context, pool, other *pgxpool.Pool) error {
	if err := printOrders(ctx, pool, "without a tenant"); err != nil {
		return err
	}
	nothing := func(pgx.Tx) error { return nil }
	err := inTenant(ctx, pool, "globex", func(tx pgx.Tx) error { return printOrders(ctx, tx, "globex") })
	if err != nil {
		return err
	}

	var backend uint32
	err = inTenant(ctx, pool, "acme", func(tx pgx.Tx) error {
		backend = tx.Conn().PgConn().PID()
		if _, err := tx.Exec(ctx, "INSERT INTO orders (item) VALUES ($1)", "anvil"); err != nil {
			return err
		}
		return printOrders(ctx, tx, "acme")
	})
	if err != nil {
		return err
	}

	tooMany := func(tx pgx.Tx) error {
		for _, item := range []string{"rope", "rocket"} {
			if _, err := tx.Exec(ctx, "INSERT INTO orders (item) VALUES ($1)", item); err != nil {
				return err
			}
		}
		return nil
	}
	for _, attempt := range []struct {
		what, tenant string
		work         func(pgx.Tx) error
		expected     error
	}{
		{"a tenant that is not there", "acme' OR 'a' = 'a", nothing, ErrAccessDenied},
		{"a name that no tenant can have", strings.Repeat("a", 256), nothing, ErrMalformed},
		{"two tenants in one transaction", "acme", func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT tenancy.set_tenant($1)", "globex")
			return err
		}, ErrAccessDenied},
		{"a suspended tenant", "initech", nothing, ErrTenantUnavailable},
		{"more than the quota", "acme", tooMany, ErrQuotaExceeded},
		{"a refusal that is swallowed", "acme", func(tx pgx.Tx) error {
			_ = tooMany(tx)
			return nil
		}, ErrRolledBack},
	} {
		err := inTenant(ctx, pool, attempt.tenant, attempt.work)
		if !errors.Is(err, attempt.expected) {
			return fmt.Errorf("%s: %w", attempt.what, err)
		}
		fmt.Printf("%s: %s\n", attempt.what, name(err))
	}

	err = named(pool.BeginFunc(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT tenancy.authenticate($1)", "e30.e30.e30")
		return err
	}))
	if !errors.Is(err, ErrInvalidToken) {
		return fmt.Errorf("a token that proves nothing: %w", err)
	}
	fmt.Printf("a token that proves nothing: %s\n", name(err))

	err = inTenant(ctx, pool, "acme", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DO $$BEGIN RAISE deadlock_detected; END$$")
		return err
	})
	if !errors.Is(err, ErrConflict) {
		return fmt.Errorf("a deadlock: %w", err)
	}
	fmt.Printf("a deadlock: %s\n", name(err))

	if err := restock(ctx, pool, other, "anvil"); err != nil {
		return err
	}
	err = inTenant(ctx, pool, "acme", func(tx pgx.Tx) error { return printOrders(ctx, tx, "acme") })
	if err != nil {
		return err
	}

	// The pool has one connection, and this is it: what the transactions before it had set is gone.
	var pid uint32
	var tenant *string
	err = pool.QueryRow(ctx, "SELECT pg_backend_pid(), tenancy.current_key()").Scan(&pid, &tenant)
	if err != nil {
		return err
	}
	if pid != backend || tenant != nil {
		return errors.New("not the connection that was used, or one with a tenant")
	}
	return printOrders(ctx, pool, "the connection's next user")
}

func connect(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	config.MaxConns = 1
	return pgxpool.ConnectConfig(ctx, config)
}

func main() {
	ctx := context.Background()
	pool, err := connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	other, err := connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close()
	if err := story(ctx, pool, other); err != nil {
		log.Fatal(err)
	}
}
