package rowfile

import (
	"regexp"
	"strings"
	"time"

	"recount"
)

// Kinds learns of one column of texts what all its values are.
type Kinds struct {
	any      bool // a value that is not NULL was seen
	not      map[recount.Kind]bool
	whole    int // most digits before a number's point, and behind it
	fraction int
}

var (
	number   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	exponent = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?[eE][+-]?[0-9]{1,3}$`)
)

// candidates are the kinds that texts are tried as, the narrowest first.
var candidates = []recount.Kind{recount.KindBool, recount.KindInt64, recount.KindDecimal, recount.KindDouble, recount.KindDate, recount.KindTimestamp}

// See takes a value that is not NULL. A kind that it is not for sure is dropped.
func (k *Kinds) See(text string) {
	if k.not == nil {
		k.not = map[recount.Kind]bool{}
	}
	k.any = true
	for _, kind := range candidates {
		if !k.not[kind] && !k.is(kind, text) {
			k.not[kind] = true
		}
	}
}

func (k *Kinds) is(kind recount.Kind, text string) bool {
	switch kind {
	case recount.KindBool:
		return text == "true" || text == "false"
	case recount.KindInt64:
		canonical, err := recount.Canonical(recount.Type{Kind: kind}, text)
		return err == nil && canonical == text
	case recount.KindDecimal:
		if !number.MatchString(text) {
			return false
		}
		whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
		k.whole, k.fraction = max(k.whole, len(whole)), max(k.fraction, len(fraction))
		return k.whole+k.fraction <= recount.MaxPrecision
	case recount.KindDouble:
		return (number.MatchString(text) || exponent.MatchString(text)) && fits(kind, text)
	case recount.KindDate:
		_, err := time.Parse(time.DateOnly, text)
		return err == nil
	case recount.KindTimestamp:
		return fits(kind, text)
	case recount.KindString, recount.KindJSON:
	}
	return false
}

func fits(kind recount.Kind, text string) bool {
	_, err := recount.Canonical(recount.Type{Kind: kind}, text)
	return err == nil
}

// Type is what all values were; a column without a value is one of strings.
func (k *Kinds) Type() recount.Type {
	if !k.any {
		return recount.Type{Kind: recount.KindString}
	}
	for _, kind := range candidates {
		switch {
		case k.not[kind]:
		case kind == recount.KindDecimal:
			return recount.Decimal(recount.MaxPrecision, k.fraction)
		default:
			return recount.Type{Kind: kind}
		}
	}
	return recount.Type{Kind: recount.KindString}
}
