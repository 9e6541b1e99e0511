// Package incidents holds the end-to-end tests of docs/incidents: a live worker
// writes to a real PostgreSQL all the while, something goes wrong in a known
// way, Recount repairs it, and the table is compared with that of a run that
// never went wrong. It belongs to tests alone.
package incidents
