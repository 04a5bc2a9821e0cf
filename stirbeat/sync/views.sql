-- Plain views that read the relation directly, those that other views of the list read coming last.
-- Bound: relation (quoted, qualified name). Needs search_path = pg_catalog, so that every name comes out qualified.
WITH direct AS (
    SELECT DISTINCT v.oid
      FROM pg_depend d
      JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
      JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
     WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass(%(relation)s)::oid AND d.deptype = 'n'
)
SELECT v.oid::bigint AS oid,
       quote_ident(n.nspname) || '.' || quote_ident(v.relname) AS name,
       quote_ident(pg_get_userbyid(v.relowner)) AS owner,
       pg_get_viewdef(v.oid) AS definition,
       array_to_string(v.reloptions, ', ') AS options
  FROM direct
  JOIN pg_class v ON v.oid = direct.oid
  JOIN pg_namespace n ON n.oid = v.relnamespace
 ORDER BY (SELECT count(*) FROM direct other
            JOIN pg_rewrite r ON r.ev_class = other.oid
            JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
           WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid AND other.oid <> v.oid),
          v.oid
