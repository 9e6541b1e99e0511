// Package postgres is the target that lives in PostgreSQL 15 or newer. It reads
// in transactions that cannot write and see one moment, and writes in one
// transaction under an advisory lock of the table. It is no place for views:
// rows are corrected where they are stored.
//
// What always holds here: a value is read and guarded as the text that the
// server prints with a fixed search path, time zone and date style, so that what
// a plan names is what is stored; a rounding or padding cast never stands between
// a plan and its column; and no message shows the address's password.
package postgres
