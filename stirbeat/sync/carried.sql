-- Statements that give one table what belongs to another: comments, grants (also by column) and the owner.
-- Bound: incoming (takes them) and outgoing (has them), quoted and qualified. Grants by default privileges on the incoming table are taken away first, so that
-- it ends with exactly the old one's. The owner comes last: before, the statements need our own ownership.
WITH old AS (SELECT c.* , c.oid AS id FROM pg_class c WHERE c.oid = to_regclass(%(outgoing)s)),
     new AS (SELECT c.*, c.oid AS id FROM pg_class c WHERE c.oid = to_regclass(%(incoming)s)),
     columns AS (
         SELECT o.attname, o.attacl, col_description(o.attrelid, o.attnum) AS comment,
                col_description(n.attrelid, n.attnum) AS own_comment
           FROM pg_attribute o
           JOIN pg_attribute n ON n.attname = o.attname AND n.attrelid = (SELECT id FROM new)
          WHERE o.attrelid = (SELECT id FROM old) AND o.attnum > 0 AND n.attnum > 0
            AND NOT o.attisdropped AND NOT n.attisdropped
     ),
     statements (turn, statement) AS (
         SELECT 1, format('COMMENT ON TABLE %%s IS %%L', %(incoming)s, obj_description(id, 'pg_class')) FROM old
         UNION ALL
         SELECT 1, format('COMMENT ON COLUMN %%s.%%I IS %%L', %(incoming)s, attname, comment)
           FROM columns WHERE comment IS NOT NULL AND own_comment IS NULL
         UNION ALL
         SELECT DISTINCT 2, format('REVOKE ALL ON %%s FROM %%s', %(incoming)s,
                                   CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
           FROM new, aclexplode(new.relacl) a
          WHERE a.grantee <> new.relowner
         UNION ALL
         SELECT 3, format('GRANT %%s ON %%s TO %%s%%s', a.privilege_type, %(incoming)s,
                          CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                          CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
           FROM old, aclexplode(old.relacl) a
          WHERE a.grantee <> old.relowner
         UNION ALL
         SELECT 3, format('GRANT %%s (%%I) ON %%s TO %%s%%s', a.privilege_type, c.attname, %(incoming)s,
                          CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                          CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
           FROM columns c, aclexplode(c.attacl) a
         UNION ALL
         SELECT 4, format('ALTER TABLE %%s OWNER TO %%I', %(incoming)s, pg_get_userbyid(old.relowner))
           FROM old, new WHERE old.relowner <> new.relowner
     )
SELECT statement FROM statements ORDER BY turn, statement
