package idindex

import "slices"

// compare orders entries by hash, then by sequence number.
func compare(a, b Entry) int {
	switch {
	case a.Hash < b.Hash:
		return -1
	case a.Hash > b.Hash:
		return 1
	case a.Seq < b.Seq:
		return -1
	case a.Seq > b.Seq:
		return 1
	}
	return 0
}

// perBucket is how many items a bucket has in the middle.
const perBucket = 8

// spread sorts items that fall evenly into the buckets from 0 to last, as hashes do:
// most of the work is then to put each into its bucket. It returns the sorted list,
// and the other memory for the next time.
func spread[T any](list, spare []T, last int, bucket func(T) int, compare func(a, b T) int) (sorted, rest []T) {
	spare = slices.Grow(spare[:0], len(list))[:len(list)]
	ends := make([]int32, last+2)
	for _, e := range list {
		ends[bucket(e)+1]++
	}
	for i := range last {
		ends[i+1] += ends[i]
	}
	for _, e := range list {
		at := &ends[bucket(e)]
		spare[*at] = e
		*at++
	}
	from := int32(0)
	for _, to := range ends[:last+1] {
		if to-from > 1 {
			slices.SortFunc(spare[from:to], compare)
		}
		from = to
	}
	return spare, list
}

// first returns the index of the first item of a sorted list that is not before
// what is looked for, mostly one of the next: the way there is as short as it is near.
func first[T any](list []T, from int, before func(T) bool) int {
	step := 1
	for from+step <= len(list) && before(list[from+step-1]) {
		from += step
		step *= 2
	}
	to := min(from+step-1, len(list))
	for from < to {
		if middle := int(uint(from+to) / 2); before(list[middle]) {
			from = middle + 1
		} else {
			to = middle
		}
	}
	return from
}
