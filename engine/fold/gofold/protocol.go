package gofold

import (
	"time"

	"recount"
	"recount/engine/fold/run"
)

// The parent writes one request to the child's standard input, as JSON; the child
// greets, then writes one answer. Rows go by files.

// protocol is the version that the greeting names.
const protocol = 1

type greeting struct {
	Fold int `json:"fold"`
}

type request struct {
	Fold string   `json:"fold"`
	Path string   `json:"path"`
	Spec run.Spec `json:"spec"`
	Seed uint64   `json:"seed"`
	// Fatal are events at which an earlier process ended.
	Fatal    []fatal       `json:"fatal,omitempty"`
	Trail    string        `json:"trail"`
	Patience time.Duration `json:"patience_ns"`
}

type fatal struct {
	Seq int64  `json:"seq"`
	Why string `json:"why"`
}

type answer struct {
	Result run.Result `json:"result"`
	Error  *wireError `json:"error,omitempty"`
	// Hangs says that a thread did not come on; the trail says where.
	Hangs bool `json:"hangs,omitempty"`
}

type wireError struct {
	Code  recount.Code `json:"code"`
	What  string       `json:"what"`
	Where string       `json:"where"`
	Why   string       `json:"why"`
	Next  string       `json:"next"`
}

func wire(err error) *wireError {
	e := recount.AsError(err)
	return &wireError{Code: e.Code, What: e.What, Where: e.Where, Why: e.Why, Next: e.Next}
}
