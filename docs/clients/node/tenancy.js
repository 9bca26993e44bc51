'use strict';
// What pg_tenancy refuses, as errors; and a transaction of one tenant.

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
// The tenant is suspended or archived, or lives in another region.
class TenantUnavailable extends TenancyError {}
// A limit of the tenant is reached: `detail` has what was used and asked for.
class QuotaExceeded extends TenancyError {}
// The token is malformed, expired, or not signed by a key that the database knows.
class InvalidToken extends TenancyError {}
// Somebody else wrote first: do the transaction again.
class Conflict extends TenancyError {}

const BY_SQLSTATE = {
  42501: AccessDenied,
  55000: TenantUnavailable,
  53400: QuotaExceeded,
  28000: InvalidToken,
  40001: Conflict,
};

function named(error) {
  const Kind = error instanceof TenancyError ? undefined : BY_SQLSTATE[error.code];
  return Kind ? new Kind(error) : error;
}

// Runs work(client) in a transaction; everything is over when the promise settles. Without a tenant it sees nothing.
async function withTenant(pool, tenant, work) {
  const client = await pool.connect();
  let broken;
  try {
    await client.query('BEGIN');
    if (tenant !== null) await client.query('SELECT tenancy.set_tenant($1)', [tenant]);
    const result = await work(client);
    const { command } = await client.query('COMMIT');
    if (command !== 'COMMIT') throw new Error('an error was swallowed: the transaction was rolled back');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch((lost) => (broken = lost));
    throw named(error);
  } finally {
    client.release(broken);
  }
}

module.exports = { TenancyError, AccessDenied, TenantUnavailable, QuotaExceeded, InvalidToken, Conflict, withTenant };
