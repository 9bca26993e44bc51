-- Says by what name the last error goes, and for what it was.
SELECT CASE :'LAST_ERROR_SQLSTATE'
           WHEN '42501' THEN 'AccessDenied'
           WHEN '22023' THEN 'Malformed'
           WHEN '55000' THEN 'TenantUnavailable'
           WHEN '53400' THEN 'QuotaExceeded'
           WHEN '25P02' THEN 'RolledBack'
           WHEN '28000' THEN 'InvalidToken'
           WHEN '40001' THEN 'Conflict'
           WHEN '40P01' THEN 'Conflict'
           ELSE :'LAST_ERROR_MESSAGE'
       END AS name \gset
\echo :what: :name (:LAST_ERROR_SQLSTATE):again
