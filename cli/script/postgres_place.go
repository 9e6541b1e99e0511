package script

import (
	"fmt"
	"strings"

	"recount"
)

// postgresPlace checks database, expiry, tables and ledger, and takes the locks
// in the order of an apply.
func (s *script) postgresPlace() string {
	var b strings.Builder
	b.WriteString("DECLARE here text; had text; one record; news text;\nBEGIN\n")
	b.WriteString(s.postgresServer())
	fmt.Fprintf(&b, "  IF now() >= %s::timestamptz THEN\n    RAISE EXCEPTION 'recount: the plan has expired: plan again';\n  END IF;\n",
		postgres.text(recount.FormatTimestamp(s.plan.Header.Expires)))
	b.WriteString("  CREATE TEMP TABLE recount_tables ON COMMIT DROP AS SELECT v.part, c.oid AS oid, c.relkind::text AS kind, n.nspname || '.' || c.relname AS name, v.hazards\n    FROM (VALUES ")
	for i, p := range s.parts {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%d, %s::regclass::oid, %s::text[])", p.n, postgres.text(postgresTable(p.table())), hazardArray(p.body.Hazards))
	}
	b.WriteString(") AS v(part, oid, hazards) JOIN pg_class c ON c.oid = v.oid JOIN pg_namespace n ON n.oid = c.relnamespace;\n")
	b.WriteString(`  FOR one IN SELECT * FROM pg_temp.recount_tables ORDER BY part > 1, name LOOP
    IF one.kind NOT IN ('r', 'p') THEN
      RAISE EXCEPTION 'recount: % is no table that stores rows', one.name;
    END IF;
    SELECT string_agg(h, '; ') INTO news FROM (
      SELECT format('trigger "%s" runs for the rows that are written', tgname) FROM pg_trigger WHERE tgrelid = one.oid AND NOT tgisinternal AND tgenabled <> 'D'
      UNION ALL SELECT format('rule "%s" rewrites the statements that write', rulename) FROM pg_rewrite WHERE ev_class = one.oid AND rulename <> '_RETURN' AND ev_enabled <> 'D') AS now(h)
      WHERE h <> ALL (one.hazards);
    IF news IS NOT NULL THEN
      RAISE EXCEPTION 'recount: the schema of % changed since the plan: %', one.name, news;
    END IF;
    SET LOCAL lock_timeout = '1s';
    PERFORM pg_advisory_xact_lock(hashtextextended('recount table ' || one.name, 0));
    SET LOCAL lock_timeout = '10s';
  END LOOP;
  PERFORM pg_advisory_xact_lock(hashtextextended('recount ledger', 0));
`)
	b.WriteString(s.postgresOnce())
	b.WriteString("END")
	return b.String()
}

// postgresServer compares the server with that of the plan. What a role may not
// read was not part of the plan's identity, and is not asked.
func (s *script) postgresServer() string {
	planned := s.plan.Body.Target.Server
	here := "'database ' || (SELECT oid FROM pg_database WHERE datname = current_database())"
	if strings.HasPrefix(planned, "system ") {
		here = "'system ' || (SELECT system_identifier FROM pg_control_system()) || ', ' || " + here
	}
	return fmt.Sprintf(`  here := %s;
  IF here IS DISTINCT FROM %s THEN
    RAISE EXCEPTION 'recount: the plan is for another database: for %%, this is %%', %s, here;
  END IF;
`, here, postgres.text(planned), postgres.text(planned))
}

func hazardArray(hazards []string) string {
	texts := make([]string, len(hazards))
	for i, h := range hazards {
		texts[i] = postgres.text(h)
	}
	return "ARRAY[" + strings.Join(texts, ", ") + "]"
}

// postgresOnce asks the ledger, where there is one.
func (s *script) postgresOnce() string {
	var b strings.Builder
	if uuid := s.plan.Body.Target.Ledger; uuid != "" {
		fmt.Fprintf(&b, `  SELECT uuid INTO here FROM recount.recount_ledger LIMIT 1;
  IF here IS DISTINCT FROM %s THEN
    RAISE EXCEPTION 'recount: the plan is for another database: its ledger is %%', here;
  END IF;
`, postgres.text(uuid))
	}
	fmt.Fprintf(&b, `  IF to_regclass('recount.recount_runs') IS NOT NULL THEN
    EXECUTE 'SELECT run FROM recount.recount_runs WHERE rolled_back IS NULL AND plan = $1' INTO had USING %s;
    IF had IS NOT NULL THEN
      RAISE EXCEPTION 'recount: this plan was applied before, by run %%', had;
    END IF;
  END IF;
`, postgres.text(s.plan.ID))
	return b.String()
}

// postgresMake makes the ledger's tables only where one is missing: a role that
// may write them need not be allowed to make them.
var postgresMake = `BEGIN
  IF to_regclass('recount.recount_ledger') IS NULL OR to_regclass('recount.recount_runs') IS NULL OR to_regclass('recount.recount_undo') IS NULL THEN
` + postgresLedger + `  END IF;
  INSERT INTO recount.recount_ledger (uuid) SELECT gen_random_uuid()::text WHERE NOT EXISTS (SELECT 1 FROM recount.recount_ledger);
END`
