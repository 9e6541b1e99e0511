package solve

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// oracle tries every span of one partition under every factor, with big numbers
// and no thought of speed, and lists those that leave the fewest of the
// partition's keys unexplained. Keys must live in one partition.
type oracle struct {
	fewest int
	spans  []oracleSpan
}

type oracleSpan struct {
	from, to int
	factor   int64
	foreign  string // the keys that remain, as text
}

func ask(in Input, partition int) oracle {
	part := in.Partitions[partition]
	o := oracle{fewest: in.Keys + 1}
	for _, factor := range in.factors() {
		for from := range part.Keys {
			left := map[int32][]*big.Int{}
			for _, key := range part.Keys {
				left[key] = nil
				for _, column := range in.Differences {
					left[key] = append(left[key], big.NewInt(column[key]))
				}
			}
			for to := from + 1; to <= len(part.Keys); to++ {
				for c, rest := range left[part.Keys[to-1]] {
					by := big.NewInt(part.Amounts[c][to-1])
					rest.Sub(rest, by.Mul(by, big.NewInt(factor)))
				}
				o.see(oracleSpan{from, to, factor, remains(left)})
			}
		}
	}
	return o
}

// remains names the keys of which something is left.
func remains(left map[int32][]*big.Int) string {
	var keys []string
	for key, rest := range left {
		if slices.ContainsFunc(rest, func(n *big.Int) bool { return n.Sign() != 0 }) {
			keys = append(keys, strconv.Itoa(int(key)))
		}
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

func (o *oracle) see(s oracleSpan) {
	switch n := len(strings.Fields(s.foreign)); {
	case n < o.fewest:
		o.fewest, o.spans = n, []oracleSpan{s}
	case n == o.fewest:
		o.spans = append(o.spans, s)
	}
}

// only returns the span that all of the best contain, if they leave the same keys
// under one factor and it is one of them.
func (o *oracle) only() (oracleSpan, bool) {
	for _, small := range o.spans {
		inAll := true
		for _, s := range o.spans {
			inAll = inAll && s.from <= small.from && small.to <= s.to && s.factor == small.factor && s.foreign == small.foreign
		}
		if inAll {
			return small, true
		}
	}
	return oracleSpan{}, false
}

// judge says what is wrong with an answer; empty where nothing is.
func judge(in Input, answer Answer) string {
	if answer.Refused != nil {
		return ""
	}
	for _, span := range answer.Spans {
		o := ask(in, span.Partition)
		want, ok := o.only()
		if !ok {
			return fmt.Sprintf("answered %+v where %d spans leave %d keys each", span, len(o.spans), o.fewest)
		}
		if got := (oracleSpan{span.From, span.To, span.factor(), want.foreign}); got != want {
			return fmt.Sprintf("answered %+v where %+v leaves the fewest keys", span, want)
		}
	}
	if want := unexplained(in, answer.Spans); !slices.Equal(want, answer.Foreign) {
		return fmt.Sprintf("foreign keys: got %v, want %v", answer.Foreign, want)
	}
	if len(answer.Foreign) > in.maxForeign() {
		return fmt.Sprintf("%d foreign keys, at most %d may be", len(answer.Foreign), in.maxForeign())
	}
	return ""
}

// unexplained lists the keys for which spans do not give the difference.
func unexplained(in Input, spans []Span) []int32 {
	var keys []int32
	for k := range int32(in.Keys) {
		foreign := false
		for c := range in.Differences {
			sum := new(big.Int)
			for _, s := range spans {
				part := in.Partitions[s.Partition]
				for i := s.From; i < s.To; i++ {
					if part.Keys[i] == k {
						sum.Add(sum, new(big.Int).Mul(big.NewInt(int64(s.Times)-1), big.NewInt(part.Amounts[c][i])))
					}
				}
			}
			foreign = foreign || sum.Cmp(big.NewInt(in.Differences[c][k])) != 0
		}
		if foreign {
			keys = append(keys, k)
		}
	}
	return keys
}
