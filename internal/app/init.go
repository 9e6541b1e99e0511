package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/config"
	"recount/internal/guess"
)

// InitRequest asks for a first configuration.
type InitRequest struct {
	App   Options
	Files []string // files or folders; empty: those that lie in the project folder
	// Ask asks the person one question and returns the answer; nil takes every
	// default.
	Ask func(Question) (string, error)
}

// initializing is what init knows so far.
type initializing struct {
	req     InitRequest
	asked   int
	events  guess.Table
	paths   []string       // of the events
	columns []guess.Column // of the events
	envelope
	results guess.Table
	live    []guess.Column // of the results
	sqlite  string         // the results' database; empty: a CSV file
	table   string

	zone   string
	key    []guess.KeyPart
	values []value
	fields []recount.Field
	text   string
	sql    string
}

type envelope = guess.Envelope

// value is one column of the results that is recalculated.
type value struct {
	column string
	of     guess.Aggregate
	fit    guess.Fit // Rows is 0 where nothing was tried
}

// Init guesses from files what the configuration needs, asks where a guess may
// be wrong, writes recount.yaml and ends with doctor.
func Init(ctx context.Context, req InitRequest) (out Initialized, err error) {
	target := filepath.Join(req.App.Dir, config.FileName)
	if _, err := os.Stat(target); err == nil {
		return out, &recount.Error{
			Code: recount.CodeUsage, What: "there is a " + config.FileName + " already", Where: target, Why: "init writes a first one and overwrites nothing",
			Next: "edit it, or move it away and run init again; recount doctor checks it",
		}
	}
	i := &initializing{req: req}
	if err := i.look(ctx); err != nil {
		return out, err
	}
	if err := i.questions(); err != nil {
		return out, err
	}
	i.write()
	out = Initialized{File: config.FileName, Text: i.text, Asked: i.asked, Fits: i.fits(), Notes: i.notes(), Next: i.next()}
	for name, text := range map[string]string{config.FileName: i.text, i.sqlFile(): i.sql} {
		if text == "" {
			continue
		}
		if err := writeNew(filepath.Join(req.App.Dir, name), text); err != nil {
			return out, err
		}
	}
	a, err := Open(ctx, req.App)
	if err != nil {
		return out, err
	}
	defer joined(&err, a.Close)
	if out.Sample, err = a.firstEvents(ctx, sourceName); err != nil {
		return out, err
	}
	found, err := a.Doctor(ctx, nil)
	out.Diagnosis = &found
	return out, err
}

func writeNew(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // meant to be read by the team
	if err != nil {
		return incident.StorageError("write the file", name, err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return incident.StorageError("write the file", name, err)
	}
	return nil
}

// ask asks one question, or takes its default where nobody is to be asked.
func (i *initializing) ask(q Question) (string, error) {
	answer, err := i.answer(q)
	if err != nil || len(q.Choices) == 0 || i.req.Ask == nil {
		return answer, err
	}
	return answer, oneOf(q, answer)
}

func (i *initializing) answer(q Question) (string, error) {
	if i.req.Ask == nil {
		return q.Default, nil
	}
	i.asked++
	return i.req.Ask(q)
}

func oneOf(q Question, answer string) error {
	if slices.Contains(q.Choices, answer) {
		return nil
	}
	next := "answer one of: " + strings.Join(q.Choices, ", ")
	if near := recount.Nearest(answer, q.Choices); near != "" {
		next = "did you mean " + near + "?"
	}
	return &recount.Error{Code: recount.CodeUsage, What: fmt.Sprintf("%q is no answer", answer), Where: q.Text, Why: "it is none of the choices", Next: next}
}

// several asks for names, joined by commas.
func (i *initializing) several(q Question) ([]string, error) {
	answer, err := i.answer(q)
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range strings.SplitSeq(answer, ",") {
		name = strings.TrimSpace(name)
		if err := oneOf(q, name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// questions asks what a guess may have got wrong: with the table six at most.
func (i *initializing) questions() error {
	const none = "none"
	choice := i.ID
	if choice == "" {
		choice = none
	}
	id, err := i.ask(Question{
		Key: "id", Text: "Which column is an event's id? (none: repeats cannot be seen)", Default: choice, Choices: append([]string{none}, i.events.Columns...),
	})
	if err != nil {
		return err
	}
	if i.ID = id; id == none {
		i.ID = ""
	}
	at, err := i.ask(Question{Key: "time", Text: "Which column is an event's time?", Default: i.Time.Name, Choices: i.events.Columns})
	if err != nil {
		return err
	}
	i.Time = i.eventColumn(at)
	if i.naive() {
		if i.zone, err = i.ask(Question{Key: "timezone", Text: "Some times have no offset. In which zone are they?", Default: "UTC"}); err != nil {
			return err
		}
	}
	if i.results.Path == "" {
		return nil
	}
	if err := i.askKey(); err != nil {
		return err
	}
	return i.askValues()
}

// naive says whether a time that will be read carries no offset.
func (i *initializing) naive() bool {
	return slices.ContainsFunc(i.columns, func(c guess.Column) bool { return c.Naive && !slices.Contains(i.Aside, c.Name) })
}

func (i *initializing) askKey() error {
	i.key = guess.Keys(i.results, i.live, i.events, i.columns, i.envelope)
	found := make([]string, len(i.key))
	for n, p := range i.key {
		found[n] = p.Column
	}
	names, err := i.several(Question{
		Key: "key", Text: "Which columns name a row of the results? (joined by commas)", Default: strings.Join(found, ","), Choices: i.results.Columns,
	})
	if err != nil {
		return err
	}
	var key []guess.KeyPart
	for _, name := range names {
		at := slices.IndexFunc(i.key, func(p guess.KeyPart) bool { return p.Column == name })
		if at >= 0 {
			key = append(key, i.key[at])
			continue
		}
		part, ok := guess.PartOf(i.results, i.liveColumn(name), i.events, i.columns, i.envelope)
		if !ok {
			part = guess.KeyPart{Column: name, Event: name}
		}
		key = append(key, part)
	}
	i.key = key
	return nil
}

// askValues looks which aggregate of the events gives a column of the results,
// and asks which columns to recalculate. Where none gives one, it asks for the
// column of the events that is added up.
func (i *initializing) askValues() error {
	zone, err := time.LoadLocation(i.zone)
	if err == nil && i.zone == "Local" {
		err = errors.New("it is another zone on every machine")
	}
	if err != nil {
		return &recount.Error{
			Code: recount.CodeUsage, What: fmt.Sprintf("%q is no time zone", i.zone), Where: "timezone", Why: err.Error(), Err: err,
			Next: "answer an IANA name such as UTC or Europe/Berlin",
		}
	}
	fitting := guess.NewFitting(i.events, i.columns, i.envelope, i.results, i.live, i.key, zone)
	var others, found []string
	fits := map[string]guess.Fit{}
	for _, c := range i.live {
		if i.isKey(c.Name) {
			continue
		}
		others = append(others, c.Name)
		if fit, ok := fitting.Best(c.Name); ok {
			found, fits[c.Name] = append(found, c.Name), fit
		}
	}
	if len(found) == 0 {
		return i.askSum()
	}
	names, err := i.several(Question{
		Key: "columns", Text: "Which columns of the results are recalculated? (joined by commas)", Default: strings.Join(found, ","), Choices: others,
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		v := value{column: name, of: guess.Aggregate{Kind: guess.Count}}
		if fit, ok := fits[name]; ok {
			v.of, v.fit = fit.Of, fit
		} else if c := i.eventColumn(name); c.Numeric() {
			v.of = guess.Aggregate{Kind: guess.Sum, Over: []string{name}}
		}
		i.values = append(i.values, v)
	}
	return nil
}

func (i *initializing) askSum() error {
	var numbers []string
	for _, c := range i.columns {
		if c.Numeric() && !c.Time() && !i.Has(c.Name) {
			numbers = append(numbers, c.Name)
		}
	}
	if len(numbers) == 0 {
		if name := i.valueColumn(""); name != "" {
			i.values = []value{{column: name, of: guess.Aggregate{Kind: guess.Count}}}
		}
		return nil
	}
	first := numbers[0]
	for _, n := range numbers { // one that the results have too
		if slices.ContainsFunc(i.results.Columns, func(c string) bool { return c == (guess.Column{Name: n}).Word() }) {
			first = n
			break
		}
	}
	sum, err := i.ask(Question{Key: "sum", Text: "Which column of the events is added up?", Default: first, Choices: numbers})
	if err != nil {
		return err
	}
	if name := i.valueColumn(sum); name != "" {
		i.values = []value{{column: name, of: guess.Aggregate{Kind: guess.Sum, Over: []string{sum}}}}
	}
	return nil
}

// valueColumn is the results' column that a sum goes to: that of its name, else
// the first number; empty where there is none.
func (i *initializing) valueColumn(sum string) string {
	word := (guess.Column{Name: sum}).Word()
	if slices.Contains(i.results.Columns, word) && !i.isKey(word) {
		return word
	}
	for _, c := range i.live {
		if c.Numeric() && !i.isKey(c.Name) {
			return c.Name
		}
	}
	return ""
}

func (i *initializing) isKey(name string) bool {
	return slices.ContainsFunc(i.key, func(p guess.KeyPart) bool { return p.Column == name })
}

func (i *initializing) eventColumn(name string) guess.Column { return columnOf(i.columns, name) }

func (i *initializing) liveColumn(name string) guess.Column { return columnOf(i.live, name) }

func columnOf(columns []guess.Column, name string) guess.Column {
	at := slices.IndexFunc(columns, func(c guess.Column) bool { return c.Name == name })
	if at < 0 {
		return guess.Column{Name: name}
	}
	return columns[at]
}
