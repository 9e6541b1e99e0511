package duckdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"recount"
)

// fault is an error of DuckDB: with errors_as_json it comes as an object.
type fault struct {
	Type       string `json:"exception_type"`
	Message    string `json:"exception_message"`
	Position   string `json:"position"`
	Candidates string `json:"candidates"`
	Subtype    string `json:"error_subtype"`
	Name       string `json:"name"`
}

// faultOf reads the object; an error without one keeps its text.
func faultOf(err error) fault {
	s := err.Error()
	if i := strings.IndexByte(s, '{'); i >= 0 {
		var f fault
		if json.NewDecoder(strings.NewReader(s[i:])).Decode(&f) == nil && f.Type != "" {
			return f
		}
	}
	kind, message, ok := strings.Cut(s, " Error: ")
	if !ok {
		return fault{Message: s}
	}
	return fault{Type: kind, Message: message}
}

func (f fault) offset() int {
	n, err := strconv.Atoi(f.Position)
	if err != nil {
		return -1
	}
	return n
}

// sqlError says which mistake of the SQL DuckDB found, and where.
func sqlError(f fault, b bound, path string) *recount.Error {
	e := &recount.Error{
		Code: recount.CodeSQL, What: "the SQL has a mistake", Where: path, Why: firstLine(f.Message),
		Next: "mend the SQL and run the command again",
	}
	switch at := f.offset(); {
	case at < 0:
	case b.ends(at):
		e.Why = "the SQL ends too early"
	default:
		if place := b.place(at); place != "" {
			e.Where = strings.TrimPrefix(path+":"+place, ":")
			e.Why += ", in: " + clip(b.line(at))
		}
	}
	// Candidates of a function are its forms, by the dozen: no help.
	if f.Candidates != "" && !strings.Contains(f.Candidates, "->") {
		e.Next = "mend the SQL; the nearest: " + strings.Join(strings.Split(f.Candidates, ","), ", ")
	}
	return e
}

// runError tells what went wrong while a query ran. limit is the memory in MiB.
func runError(err error, b bound, path string, limit int) error {
	f := faultOf(err)
	switch {
	case f.Type == "Out of Memory":
		return &recount.Error{
			Code: recount.CodeMemory, What: fmt.Sprintf("the calculation needs more than its limit of %d MiB of memory", limit), Where: path,
			Why: firstLine(f.Message), Next: "replay a shorter window, or let the SQL return or collect less", Err: err,
		}
	case strings.Contains(f.Message, "No space left on device"):
		return &recount.Error{
			Code: recount.CodeStorage, What: "the disk is full", Where: path, Why: firstLine(f.Message),
			Next: "free space where temporary files go, or replay a shorter window", Err: err,
		}
	}
	switch f.Type {
	case "Parser", "Binder", "Catalog", "Conversion", "Out of Range", "Invalid Input", "Mismatch Type", "Decimal", "Divide by Zero",
		"Constraint", "Not implemented", "Invalid type", "Syntax", "Expression", "Parameter Not Allowed", "Parameter Not Resolved", "Invalid":
		return sqlError(f, b, path)
	}
	return &recount.Error{
		Code: recount.CodeEngine, What: "the engine could not run the SQL", Where: path, Why: firstLine(f.Message),
		Next: "run the command again; if it comes back, report it with this message", Err: err,
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

func clip(s string) string {
	const most = 80
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most]) + "…"
}

// wire turns an error of the child into what the parent is told.
func wire(err error) *wireError {
	var e *recount.Error
	if !errors.As(err, &e) {
		e = &recount.Error{
			Code: recount.CodeEngine, What: "the engine could not do its work", Why: firstLine(faultOf(err).Message),
			Next: "run the command again; if it comes back, report it with this message",
		}
	}
	return &wireError{Code: e.Code, What: e.What, Where: e.Where, Why: e.Why, Next: e.Next}
}
