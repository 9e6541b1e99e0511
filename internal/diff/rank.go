package diff

import (
	"cmp"
	"slices"
)

// Try is one account of what wrong rows hold, and how near it comes to each.
type Try struct {
	// Kind groups accounts of which one at most is given as a reason: that which
	// explains most rows, the first of equals.
	Kind string
	// Joined says that it joins accounts that are tried alone too: it counts only
	// for rows that none of those explains.
	Joined bool
	// Near has an entry for each row.
	Near []Nearness
}

// Reason is an account that explains some rows.
type Reason struct {
	// Try is the place of the account among those that were tried.
	Try int
	// Within has, where the account explains the rows but for rounding, the
	// tolerance that each column needs, as Nearness counts them; nil where the
	// rows are exact.
	Within Nearness
	// Rows counts the rows that it explains. Of a joined account, and of one that
	// needs a tolerance besides, they are those that nothing simpler explains.
	Rows int64
	// At are the places of these rows.
	At []int
}

// Rank orders what explains rows: the account that explains most first, of equal
// ones the one that was tried first. One that explains no row besides those of
// better ones is left out. The first try must be the right logic, which explains
// by rounding alone. It returns the places of the rows that are left without a
// reason.
func Rank(tries []Try) (reasons []Reason, left []int) {
	if len(tries) == 0 {
		return nil, nil
	}
	k := &ranking{tries: tries, known: make([]bool, len(tries[0].Near))}
	k.simple()
	k.joined()
	for row, known := range k.known {
		if !known {
			left = append(left, row)
		}
	}
	return k.reasons, left
}

type ranking struct {
	tries   []Try
	known   []bool // rows that have a reason
	reasons []Reason
}

// simple finds the reasons that explain rows alone.
func (k *ranking) simple() {
	var all []Reason
	add := func(r Reason, rows []int) {
		if r.At, r.Rows = rows, int64(len(rows)); len(rows) > 0 {
			all = append(all, r)
		}
	}
	within, rows := tolerance(k.tries[0].Near)
	add(Reason{Within: within}, rows)
	seen := map[string]bool{}
	for _, t := range k.tries[1:] {
		if !t.Joined && !seen[t.Kind] {
			seen[t.Kind] = true
			best, rows := k.best(t.Kind)
			add(Reason{Try: best}, rows)
		}
	}
	slices.SortStableFunc(all, func(a, b Reason) int { return cmp.Compare(b.Rows, a.Rows) })
	for _, r := range all {
		if slices.ContainsFunc(r.At, func(row int) bool { return !k.known[row] }) {
			k.add(r, r.At)
		}
	}
}

// best is the account of a kind that explains most rows.
func (k *ranking) best(kind string) (best int, rows []int) {
	for i, t := range k.tries {
		if i == 0 || t.Kind != kind || t.Joined {
			continue
		}
		if found := exact(t.Near); len(found) > len(rows) {
			best, rows = i, found
		}
	}
	return best, rows
}

// joined finds reasons for what is left: joined accounts, and accounts that
// explain rows but for rounding.
func (k *ranking) joined() {
	for {
		var best Reason
		var most []int
		for i, t := range k.tries {
			if i == 0 || !t.Joined && k.another(i) {
				continue
			}
			near := k.rest(t.Near)
			rows := exact(near)
			var within Nearness
			if len(rows) == 0 {
				within, rows = tolerance(near)
			}
			if len(rows) > len(most) {
				best, most = Reason{Try: i, Within: within}, rows
			}
		}
		if len(most) == 0 {
			return
		}
		k.add(best, most)
	}
}

// another says that a reason of the same kind was found that is not account i:
// one calculation has one lateness.
func (k *ranking) another(i int) bool {
	return slices.ContainsFunc(k.reasons, func(r Reason) bool {
		return r.Try != 0 && r.Try != i && k.tries[r.Try].Kind == k.tries[i].Kind
	})
}

// rest is near without the rows that have a reason.
func (k *ranking) rest(near []Nearness) []Nearness {
	out := slices.Clone(near)
	for row, known := range k.known {
		if known {
			out[row] = nil
		}
	}
	return out
}

func (k *ranking) add(r Reason, rows []int) {
	r.Rows, r.At = int64(len(rows)), rows
	for _, row := range rows {
		k.known[row] = true
	}
	k.reasons = append(k.reasons, r)
}

func exact(near []Nearness) (rows []int) {
	for i, n := range near {
		if n.Exact() {
			rows = append(rows, i)
		}
	}
	return rows
}

// tolerance chooses how much rows may differ: the smallest that explains most. A
// larger one has to explain at least two rows and a fifth more, so that one
// foreign edit does not widen it for all.
func tolerance(near []Nearness) (within Nearness, rows []int) {
	counts := make([]int, len(Tolerances)+1)
	for _, n := range near {
		if n != nil && n.most() > 0 {
			for step := n.most(); int(step) < len(counts); step++ {
				counts[step]++
			}
		}
	}
	const more, fifth = 2, 5
	chosen := 0
	for step := 1; step < len(counts); step++ {
		n, before := counts[step], counts[chosen]
		if n > 0 && before == 0 || n >= before+more && fifth*n >= (fifth+1)*before {
			chosen = step
		}
	}
	for i, n := range near {
		if n == nil || n.most() == 0 || int(n.most()) > chosen {
			continue
		}
		if within == nil {
			within = make(Nearness, len(n))
		}
		for c, step := range n {
			within[c] = max(within[c], step)
		}
		rows = append(rows, i)
	}
	return within, rows
}
