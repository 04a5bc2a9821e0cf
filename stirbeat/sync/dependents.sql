-- What would be lost or left behind on the old table if the relation were swapped, one sentence each.
-- Bound: relation (quoted, qualified name); declared (index names of the job); mark (comment of indexes a sync made).
-- Plain views are not listed: they are rebound. Grants, owner, comments and storage options are carried.
WITH live AS (SELECT to_regclass(%(relation)s)::oid AS oid)
SELECT 'it is no plain table' AS problem
  FROM pg_class c JOIN live USING (oid) WHERE c.relkind <> 'r' OR c.relispartition
UNION ALL
SELECT 'it is part of an inheritance tree'
  FROM live WHERE EXISTS (SELECT FROM pg_inherits i WHERE live.oid IN (i.inhrelid, i.inhparent))
UNION ALL
-- Objects elsewhere that hold on to the table or its row type by identity: foreign keys, materialized views,
-- SQL-standard function bodies, policies, columns of the row type.
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) || ' depends on it'
  FROM live
  JOIN pg_class c ON c.oid = live.oid
  JOIN pg_depend d ON (d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid)
                   OR (d.refclassid = 'pg_type'::regclass
                       AND d.refobjid IN (c.reltype, (SELECT typarray FROM pg_type WHERE oid = c.reltype)))
 WHERE d.deptype = 'n'
   AND NOT (d.classid = 'pg_class'::regclass AND d.objid = c.oid)
   AND NOT (d.classid = 'pg_constraint'::regclass
            AND EXISTS (SELECT FROM pg_constraint k WHERE k.oid = d.objid AND k.conrelid = c.oid))
   AND NOT (d.classid = 'pg_rewrite'::regclass
            AND EXISTS (SELECT FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class
                         WHERE r.oid = d.objid AND v.relkind = 'v'))
UNION ALL
SELECT 'it has ' || CASE k.contype WHEN 'c' THEN 'check constraint ' WHEN 'f' THEN 'foreign key '
                                   WHEN 'x' THEN 'exclusion constraint ' ELSE 'constraint ' END || quote_ident(k.conname)
  FROM live JOIN pg_constraint k ON k.conrelid = live.oid
 WHERE k.contype NOT IN ('p', 'u', 'n') OR (k.contype = 'u' AND k.conname <> ALL (%(declared)s::text[]))
UNION ALL
SELECT 'it has trigger ' || quote_ident(t.tgname) FROM live JOIN pg_trigger t ON t.tgrelid = live.oid
 WHERE NOT t.tgisinternal
UNION ALL
SELECT 'it has rule ' || quote_ident(r.rulename) FROM live JOIN pg_rewrite r ON r.ev_class = live.oid
UNION ALL
SELECT 'it has row level security' FROM pg_class c JOIN live USING (oid)
 WHERE c.relrowsecurity OR c.relforcerowsecurity OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
UNION ALL
SELECT 'it is in publication ' || quote_ident(p.pubname)
  FROM live JOIN pg_publication_rel r ON r.prrelid = live.oid JOIN pg_publication p ON p.oid = r.prpubid
UNION ALL
SELECT 'its replica identity is not the default' FROM pg_class c JOIN live USING (oid) WHERE c.relreplident <> 'd'
UNION ALL
SELECT 'column ' || quote_ident(a.attname) || ' has a default, an identity or is generated'
  FROM live JOIN pg_attribute a ON a.attrelid = live.oid
 WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '')
UNION ALL
SELECT 'it has extended statistics ' || quote_ident(s.stxname) FROM live JOIN pg_statistic_ext s ON s.stxrelid = live.oid
UNION ALL
SELECT 'index ' || quote_ident(i.relname) || ' is not declared in the job'
  FROM live JOIN pg_index x ON x.indrelid = live.oid JOIN pg_class i ON i.oid = x.indexrelid
 WHERE NOT x.indisprimary AND obj_description(i.oid, 'pg_class') IS DISTINCT FROM %(mark)s AND i.relname <> ALL (%(declared)s::text[])
   AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid AND k.conrelid = live.oid)
ORDER BY 1
