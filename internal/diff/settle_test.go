package diff_test

import (
	"fmt"
	"strings"
	"testing"

	"recount"
	"recount/internal/diff"
)

// stands are a key's rows after its events 1, 2, … of partition 0; "-" is no row.
func stands(rows ...string) []diff.Stand {
	out := make([]diff.Stand, len(rows))
	for i, row := range rows {
		out[i] = diff.Stand{Seq: int64(i + 1), At: fmt.Sprintf("0:%d", i+1), Last: recount.PadPosition(fmt.Sprint(i + 1))}
		if row != "-" {
			out[i].Values = []recount.Value{recount.Text(row)}
		}
	}
	return out
}

// last changes what the position column would say at each stand.
func last(list []diff.Stand, positions ...string) []diff.Stand {
	for i, p := range positions {
		if list[i].Last = ""; p != "" {
			list[i].Last = recount.PadPosition(p)
		}
	}
	return list
}

func running(live string, right []diff.Stand, accounts ...diff.Account) diff.Running {
	r := diff.Running{
		Shape: recount.Shape{Values: []recount.Column{{Name: "n", Type: recount.Type{Kind: recount.KindInt64}}}},
		Rules: []recount.Rule{{}}, Right: right, Accounts: accounts,
	}
	if live != "-" {
		r.Seen = []recount.Value{recount.Text(live)}
	}
	return r
}

// at gives the row a position column.
func at(position string, r diff.Running) diff.Running {
	if r.Known = true; position != "" {
		r.Last = recount.PadPosition(position)
	}
	return r
}

// told is a verdict in a line: right, AFTER by CAUSE, or held: WHY.
func told(v diff.Verdict) string {
	after := "no row"
	if v.After != nil {
		after = v.After[0].Text
	}
	switch {
	case v.Hold != "":
		return "held: " + v.Hold
	case v.Correct:
		return "right"
	case v.Cause == "":
		return after + " by nothing known"
	}
	return after + " by " + string(v.Cause)
}

func TestWhatBecomesOfARowThatGoesOn(t *testing.T) {
	missed := func(list []diff.Stand) diff.Account { return diff.Account{Cause: "missed", Stands: list} }
	again := func(list []diff.Stand) diff.Account { return diff.Account{Cause: "again", Stands: list} }
	mixed := running("7", stands("7", "9"))
	mixed.Mixed = true
	counted := at("", running("8", stands("7", "9")))
	counted.Counts, counted.Last = true, "12"
	counted.Right[0].Last, counted.Right[1].Last = "4", "5"
	for _, c := range []struct {
		name string
		row  diff.Running
		want string
	}{
		{"right at the newest event", running("9", stands("7", "9"), missed(stands("2", "4"))), "right"},
		{"right at an earlier event: the worker is behind", running("7", stands("7", "9"), missed(stands("2", "4"))), "right"},
		{"explained at the newest", running("4", stands("7", "9"), missed(stands("2", "4"))), "9 by missed"},
		{"explained at an earlier event", running("2", stands("7", "9"), missed(stands("2", "4"))), "7 by missed"},
		{"explained at two, of which both want the same", running("4", stands("9", "9"), missed(stands("4", "4"))), "9 by missed"},
		{"explained at two, which do not agree", running("4", stands("7", "9"), missed(stands("4", "4"))), "held: several positions explain it"},
		{"right at one, explained at another", running("7", stands("7", "9"), missed(stands("2", "7"))), "held: it is right if it stands at one position"},
		{"the first of two causes", running("4", stands("7", "9"), missed(stands("2", "4")), again(stands("3", "4"))), "9 by missed"},
		{"nothing gives it", running("1000", stands("7", "9"), missed(stands("2", "4"))), "held: no hypothesis gives it"},
		{"several partitions", mixed, "held: its events come from several partitions"},
		{"no row, and none is right", running("-", stands("-"), missed(stands("-"))), "right"},
		{"no row, since all was missed", running("-", stands("7"), missed(stands("-"))), "7 by missed"},
		{"no row, though the worker made one since", running("-", stands("7", "9"), missed(stands("-", "2"))), "held: no hypothesis gives it"},

		{"column: right", at("2", running("9", stands("7", "9"))), "right"},
		{"column: explained where it says", at("2", running("4", stands("7", "9"), missed(stands("2", "4")))), "9 by missed"},
		{"column: the last event was missed, so it says the one before", at("1", running("2", last(stands("9"), "2"), missed(last(stands("2"), "1")))), "9 by missed"},
		{"column: no hypothesis given", at("2", running("5", stands("7", "9"))), "9 by nothing known"},
		{"column: a lie that would make it right", at("1", running("9", stands("7", "9"), missed(stands("2", "4")))), "held: it is right if it stands elsewhere"},
		{"column: a position of another key", at("2", running("5", last(stands("7", "9"), "1", "3"))), "held: its position column names none of its events"},
		{"column: NULL", at("", running("5", stands("7", "9"))), "held: its position column holds nothing"},
		{"column: ahead of the archive", at("3", running("20", stands("7", "9"), missed(stands("2", "4")))), "held: it has absorbed events that are not archived yet"},
		{"column: ahead, with the value of an earlier position", at("3", running("7", stands("7", "9"), missed(stands("2", "4")))), "held: it has absorbed events that are not archived yet"},
		{"column: counts beyond the archive", counted, "held: it has absorbed events that are not archived yet"},
	} {
		if got := told(diff.Settle(c.row)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
