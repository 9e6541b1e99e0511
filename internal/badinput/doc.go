// Package badinput holds the tests of what can go wrong around an archiver, as its
// operator meets it: the command, a bus, a store, and something that breaks. Each
// ends with an archive that holds every event once. It belongs to tests alone.
package badinput
