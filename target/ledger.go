package target

// LedgerSQL is what a database administrator runs where the applying role may
// not make tables. Adapters make the same tables with their own types.
type LedgerSQL interface {
	// LedgerSQL returns the statements that make the ledger tables.
	LedgerSQL() string
}
