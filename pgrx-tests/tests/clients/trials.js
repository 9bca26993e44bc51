'use strict';
// What the stories of docs/clients/node don't come to: node trials.js NAME, where NODE_PATH leads to them and to their modules.

const assert = require('node:assert');
const { setTimeout: sleep } = require('node:timers/promises');
const { createPool, withTenant } = require('tenancy');
const { forTenant } = require('transaction_example');

const pool = createPool({ max: 1 });
const other = createPool({ max: 1 });

const items = async (client) => (await client.query('SELECT item FROM orders')).rows.map(({ item }) => item);
const backend = async (client) => (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
const terminate = (pid) => other.query('SELECT pg_terminate_backend($1, 10000)', [pid]);

// The pool's connection has the next tenant, while what was begun for the former one goes on.
async function nextTenantSeesNothingOf(stray) {
  const seen = await withTenant(pool, 'globex', async (client) => {
    await assert.rejects(stray, /the transaction is over/);
    return items(client);
  });
  assert.deepStrictEqual(seen, ['umbrella']);
}

const trials = {
  async failed_part() {
    let stray;
    await assert.rejects(withTenant(pool, 'acme', (client) => {
      const later = async () => {
        await client.query('SELECT pg_sleep(0.2)');
        await sleep(100);
        await client.query("INSERT INTO orders (item) VALUES ('stray')");
      };
      stray = later();
      return Promise.all([Promise.reject(new Error('a part fails')), stray]);
    }), /a part fails/);
    await nextTenantSeesNothingOf(stray);
  },

  async failed_part_in_the_manner_of_prisma() {
    let stray;
    await assert.rejects(forTenant(pool, 'acme').$transaction((tx) => {
      stray = sleep(100).then(() => tx.$executeRaw`INSERT INTO orders (item) VALUES (${'stray'})`);
      return Promise.all([Promise.reject(new Error('a part fails')), stray]);
    }), /a part fails/);
    await nextTenantSeesNothingOf(stray);
  },

  async forgotten_part() {
    let stray;
    await withTenant(pool, 'acme', async (client) => {
      stray = sleep(100).then(() => client.query("INSERT INTO orders (item) VALUES ('stray')"));
    });
    await nextTenantSeesNothingOf(stray);
  },

  async idle_connection_ends() {
    await terminate(await withTenant(pool, 'acme', backend));
    while (pool.totalCount > 0) await sleep(10);
    assert.deepStrictEqual(await withTenant(pool, 'globex', items), ['umbrella']);
  },

  async connection_in_use_ends() {
    // Between two queries, and during one.
    for (const work of [() => sleep(100), (client) => client.query('SELECT pg_sleep(60)')]) {
      await assert.rejects(withTenant(pool, 'acme', async (client) => {
        const pid = await backend(client);
        await Promise.all([terminate(pid), work(client)]);
        await items(client);
      }));
      assert.deepStrictEqual(await withTenant(pool, 'globex', items), ['umbrella']);
    }
  },
};

async function main() {
  try {
    await trials[process.argv[2]]();
  } finally {
    await Promise.all([pool.end(), other.end()]);
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
