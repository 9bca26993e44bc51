'use strict';
// node-postgres with its pool. Connects as libpq does: PGHOST, PGPORT, PGDATABASE, PGUSER.

const assert = require('node:assert');
const { AccessDenied, Malformed, TenantUnavailable, QuotaExceeded, RolledBack, InvalidToken, Conflict } = require('./tenancy');
const { createPool, withTenant } = require('./tenancy');

async function orders(client) {
  const { rows } = await client.query('SELECT item, quantity FROM orders ORDER BY item');
  return rows.map(({ item, quantity }) => `${item} ${quantity}`).join(', ') || 'nothing';
}

// Says by what name a promise is rejected; that it is rejected by another, or not at all, is an error.
async function refused(what, Kind, promise) {
  await assert.rejects(promise, (error) => {
    assert(error instanceof Kind, error);
    console.log(`${what}: ${error.name} (${error.code})`);
    return true;
  });
}

// Reads, computes and writes; again when another writer was quicker.
async function restock(pool, other, item) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await withTenant(pool, 'acme', async (client) => {
        const { rows } = await client.query('SELECT quantity FROM orders WHERE item = $1', [item]);
        if (attempt === 1) {
          await withTenant(other, 'acme', (quicker) =>
            quicker.query('UPDATE orders SET quantity = quantity + 1 WHERE item = $1', [item]));
        }
        await client.query('UPDATE orders SET quantity = $1 WHERE item = $2', [rows[0].quantity + 1, item]);
      });
    } catch (error) {
      if (!(error instanceof Conflict) || attempt === 3) throw error;
      console.log(`two writers at once: ${error.name} (${error.code}), and it is tried again`);
    }
  }
}

async function story(pool, other) {
  console.log('without a tenant:', await orders(pool));
  console.log('globex:', await withTenant(pool, 'globex', orders));

  const backend = await withTenant(pool, 'acme', async (client) => {
    await client.query('INSERT INTO orders (item) VALUES ($1)', ['anvil']);
    console.log('acme:', await orders(client));
    return (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
  });

  await refused('a tenant that is not there', AccessDenied, withTenant(pool, "acme' OR 'a' = 'a", orders));
  await refused('a name that no tenant can have', Malformed, withTenant(pool, 'a'.repeat(256), orders));
  await refused('two tenants in one transaction', AccessDenied, withTenant(pool, 'acme', (client) =>
    client.query('SELECT tenancy.set_tenant($1)', ['globex'])));
  await refused('a suspended tenant', TenantUnavailable, withTenant(pool, 'initech', orders));
  const tooMany = async (client) => {
    for (const item of ['rope', 'rocket']) await client.query('INSERT INTO orders (item) VALUES ($1)', [item]);
  };
  await refused('more than the quota', QuotaExceeded, withTenant(pool, 'acme', tooMany));
  await refused('a refusal that is swallowed', RolledBack, withTenant(pool, 'acme', (client) =>
    tooMany(client).catch(() => 'never mind')));
  await refused('a token that proves nothing', InvalidToken, withTenant(pool, null, (client) =>
    client.query('SELECT tenancy.authenticate($1)', ['e30.e30.e30'])));
  await refused('a deadlock', Conflict, withTenant(pool, 'acme', (client) =>
    client.query('DO $$BEGIN RAISE deadlock_detected; END$$')));

  await restock(pool, other, 'anvil');
  console.log('acme:', await withTenant(pool, 'acme', orders));

  // The pool has one connection, and this is it: what the transactions before it had set is gone.
  const { rows } = await pool.query('SELECT pg_backend_pid() AS pid, tenancy.current_tenant() AS tenant');
  assert.deepStrictEqual(rows, [{ pid: backend, tenant: null }]);
  console.log("the connection's next user:", await orders(pool));
}

async function main() {
  const pools = [createPool({ max: 1 }), createPool({ max: 1 })];
  try {
    await story(...pools);
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
