'use strict';
// A client per tenant in the manner of Prisma: $transaction(work) with $queryRaw`…` and $executeRaw`…`, on node-postgres.

const assert = require('node:assert');
const { AccessDenied, Malformed, TenantUnavailable, QuotaExceeded, RolledBack, InvalidToken, Conflict } = require('./tenancy');
const { createPool, withTenant } = require('./tenancy');

// What stands in ${…} becomes a parameter, never a part of the statement.
const statement = (strings, values) => ({ text: strings.reduce((text, part, i) => `${text}$${i}${part}`), values });

// Every transaction of this client acts for its tenant; one that met a quicker writer is done again.
function forTenant(pool, tenant) {
  return {
    async $transaction(work, { attempts = 3, onRetry = () => {} } = {}) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await withTenant(pool, tenant, (client) => work({
            $queryRaw: async (strings, ...values) => (await client.query(statement(strings, values))).rows,
            $executeRaw: async (strings, ...values) => (await client.query(statement(strings, values))).rowCount,
          }));
        } catch (error) {
          if (!(error instanceof Conflict) || attempt === attempts) throw error;
          onRetry(error);
        }
      }
    },
  };
}

async function orders(tx) {
  const rows = await tx.$queryRaw`SELECT item, quantity FROM orders ORDER BY item`;
  return rows.map(({ item, quantity }) => `${item} ${quantity}`).join(', ') || 'nothing';
}

async function refused(what, Kind, promise) {
  await assert.rejects(promise, (error) => {
    assert(error instanceof Kind, error);
    console.log(`${what}: ${error.name} (${error.code})`);
    return true;
  });
}

async function story(pool, other) {
  const [nobody, acme, globex] = [null, 'acme', 'globex'].map((tenant) => forTenant(pool, tenant));
  console.log('without a tenant:', await nobody.$transaction(orders));
  console.log('globex:', await globex.$transaction(orders));

  const backend = await acme.$transaction(async (tx) => {
    await tx.$executeRaw`INSERT INTO orders (item) VALUES (${'anvil'})`;
    console.log('acme:', await orders(tx));
    return (await tx.$queryRaw`SELECT pg_backend_pid() AS pid`)[0].pid;
  });

  const absent = forTenant(pool, "acme' OR 'a' = 'a");
  await refused('a tenant that is not there', AccessDenied, absent.$transaction(orders));
  await refused('a name that no tenant can have', Malformed, forTenant(pool, 'a'.repeat(256)).$transaction(orders));
  await refused('two tenants in one transaction', AccessDenied,
    acme.$transaction((tx) => tx.$queryRaw`SELECT tenancy.set_tenant(${'globex'})`));
  await refused('a suspended tenant', TenantUnavailable, forTenant(pool, 'initech').$transaction(orders));
  const tooMany = async (tx) => {
    for (const item of ['rope', 'rocket']) await tx.$executeRaw`INSERT INTO orders (item) VALUES (${item})`;
  };
  await refused('more than the quota', QuotaExceeded, acme.$transaction(tooMany));
  await refused('a refusal that is swallowed', RolledBack,
    acme.$transaction((tx) => tooMany(tx).catch(() => 'never mind')));
  await refused('a token that proves nothing', InvalidToken,
    nobody.$transaction((tx) => tx.$queryRaw`SELECT tenancy.authenticate(${'e30.e30.e30'})`));
  await refused('a deadlock', Conflict,
    acme.$transaction((tx) => tx.$executeRaw`DO $$BEGIN RAISE deadlock_detected; END$$`, { attempts: 1 }));

  // Reads, computes and writes; in the first attempt another writer is quicker.
  let quicker = forTenant(other, 'acme');
  await acme.$transaction(async (tx) => {
    const [{ quantity }] = await tx.$queryRaw`SELECT quantity FROM orders WHERE item = ${'anvil'}`;
    await quicker?.$transaction((tx) =>
      tx.$executeRaw`UPDATE orders SET quantity = quantity + 1 WHERE item = ${'anvil'}`);
    quicker = undefined;
    await tx.$executeRaw`UPDATE orders SET quantity = ${quantity + 1} WHERE item = ${'anvil'}`;
  }, { onRetry: ({ name, code }) => console.log(`two writers at once: ${name} (${code}), and it is tried again`) });
  console.log('acme:', await acme.$transaction(orders));

  // The pool has one connection, and this is it: what the transactions before it had set is gone.
  const next = await nobody.$transaction((tx) =>
    tx.$queryRaw`SELECT pg_backend_pid() AS pid, tenancy.current_tenant() AS tenant`);
  assert.deepStrictEqual(next, [{ pid: backend, tenant: null }]);
  console.log("the connection's next user:", await nobody.$transaction(orders));
}

async function main() {
  const pools = [createPool({ max: 1 }), createPool({ max: 1 })];
  try {
    await story(...pools);
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
  }
}

if (require.main === module) {
  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}

module.exports = { forTenant };
