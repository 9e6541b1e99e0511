// Package recount is the vocabulary of Recount, the tool that repairs the
// results of event-driven systems: events are facts kept in an archive, results
// are derived from them, and a result that went wrong is recalculated, compared
// with the live one and corrected under guards.
//
// The package holds types, their text forms and the error codes. It does no
// I/O, keeps no state and imports the standard library alone, so that every
// other package can meet in it. docs/design.md says how they do.
package recount
