'use strict';
// What pg_tenancy refuses, as errors; and a transaction of one tenant.

const { Pool } = require('pg');

class TenancyError extends Error {
  constructor(cause) {
    super(cause.message, { cause });
    this.name = this.constructor.name;
    this.code = cause.code;
    this.detail = cause.detail;
    this.hint = cause.hint;
  }
}
// No such tenant, no access to it, a second one in a transaction, another's row.
class AccessDenied extends TenancyError {}
// No tenant, host or user can have that name.
class Malformed extends TenancyError {}
// The tenant is suspended or archived, or lives in another region.
class TenantUnavailable extends TenancyError {}
// A limit of the tenant is reached: `detail` has what was used and asked for.
class QuotaExceeded extends TenancyError {}
// An error was swallowed within the transaction: nothing of that is kept.
class RolledBack extends TenancyError {}
// The token is malformed, expired, or not signed by a key that the database knows.
class InvalidToken extends TenancyError {}
// Somebody else wrote first, or two waited for each other: do the transaction again.
class Conflict extends TenancyError {}

const BY_SQLSTATE = {
  42501: AccessDenied,
  22023: Malformed,
  55000: TenantUnavailable,
  53400: QuotaExceeded,
  '25P02': RolledBack,
  28000: InvalidToken,
  40001: Conflict,
  '40P01': Conflict,
};

function named(error) {
  const Kind = error instanceof TenancyError ? undefined : BY_SQLSTATE[error.code];
  return Kind ? new Kind(error) : error;
}

// A pool that outlives its connections. One that the server ends while it is idle is an event, and the end of a process that
// does not listen.
function createPool(options) {
  return new Pool(options).on('error', (error) => console.error('an idle connection is gone:', error.message));
}

// Runs work(transaction), of which query() is that of node-postgres, in a transaction. It is over when the promise settles: a
// query() that comes later, of a part that nobody waited for, is refused and not the next tenant's. Without a tenant it sees nothing.
async function withTenant(pool, tenant, work) {
  const client = await pool.connect();
  let over = false;
  let broken;
  const lost = (error) => (broken = error);
  client.on('error', lost);
  const query = (...what) => (over ? Promise.reject(new Error('the transaction is over')) : client.query(...what));
  try {
    await client.query('BEGIN');
    if (tenant !== null) await client.query('SELECT tenancy.set_tenant($1)', [tenant]);
    const result = await work({ query });
    over = true;
    const { command } = await client.query('COMMIT');
    if (command !== 'COMMIT') throw Object.assign(new Error('an error was swallowed'), { code: '25P02' });
    return result;
  } catch (error) {
    over = true;
    await client.query('ROLLBACK').catch(lost);
    throw named(error);
  } finally {
    client.off('error', lost);
    client.release(broken);
  }
}

module.exports = {
  TenancyError,
  AccessDenied,
  Malformed,
  TenantUnavailable,
  QuotaExceeded,
  RolledBack,
  InvalidToken,
  Conflict,
  createPool,
  withTenant,
};
