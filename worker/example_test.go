package worker_test

import (
	"fmt"
	"time"

	"recount/worker"
)

// Payment is an event: the columns that the fold reads.
type Payment struct {
	Kind   string // paid or refunded
	Amount worker.Decimal
	Coupon worker.Null[string]
	At     time.Time `recount:"time"`
}

// Account is the state of one key.
type Account struct {
	Balance  worker.Decimal
	Payments int64
	Since    time.Time
}

// Balance is a row. The key's own column stands before it.
type Balance struct {
	Balance  worker.Decimal `recount:"balance,decimal(18,2)"`
	Payments int64
	Since    time.Time
}

var balances = worker.Fold[Account, Payment, Balance]{
	Step: func(c *worker.Context, a *Account, p *Payment) error {
		switch p.Kind {
		case "paid":
			a.Balance = a.Balance.Add(p.Amount)
		case "refunded":
			a.Balance = a.Balance.Sub(p.Amount)
			c.Effect("mail", p.At.Format(time.DateOnly), map[string]any{"refunded": p.Amount})
		default:
			return fmt.Errorf("kind %q is unknown", p.Kind)
		}
		if a.Payments == 0 {
			a.Since = p.At
		}
		a.Payments++
		return nil
	},
	Rows: func(_ *worker.Context, a *Account, emit func(Balance)) {
		emit(Balance{Balance: a.Balance, Payments: a.Payments, Since: a.Since})
	},
}

// A complete worker: with command.Main() after Register, this is main.
func Example() {
	worker.Register("balances", balances)
	fmt.Println(worker.Names())
	// Output: [balances]
}
