package recount

import (
	"errors"
	"strconv"
	"strings"
)

// ParseSize reads a size such as 256MiB.
func ParseSize(text string) (int64, error) {
	const leastMiB, mostMiB = 1, 1 << 24
	digits := strings.TrimRight(text, "KMGTiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, errors.New("a size is a whole number with its unit: KiB, MiB or GiB")
	}
	shift, ok := map[string]int{"KiB": 10, "MiB": 20, "GiB": 30}[strings.TrimPrefix(text, digits)]
	if !ok {
		return 0, errors.New("the unit is KiB, MiB or GiB")
	}
	if n < 0 || n > mostMiB || n<<shift < leastMiB<<20 {
		return 0, errors.New("it must be 1MiB or more")
	}
	return n << shift, nil
}
