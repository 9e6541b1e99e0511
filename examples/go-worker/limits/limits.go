// Package limits holds what wallets may spend in a day. It is the example of a
// worker in Go: the same functions can run behind a bus in production.
package limits

import (
	"errors"
	"time"

	"recount/worker"
)

// Payment is an event.
type Payment struct {
	ID     string
	Amount worker.Decimal
	Shop   worker.Null[string] // online payments have none
	At     time.Time           `recount:"time"`
}

// Day is the state of a wallet on one day.
type Day struct {
	Spent    worker.Decimal
	Payments int
	Declined int
	Last     time.Time
}

// Spending is a row. Its wallet is put before it, since events are gathered by it.
type Spending struct {
	Day      time.Time      `recount:"day,date"`
	Spent    worker.Decimal `recount:"spent,decimal(10,2)"`
	Payments int
	Declined int
}

// most is what a wallet may spend in a day.
var most = worker.MustDecimal("100.00")

// Fold declines a payment that would go over the limit.
var Fold = worker.Fold[Day, Payment, Spending]{
	Step: func(c *worker.Context, d *Day, p *Payment) error {
		return d.take(c, p, most.Less(d.Spent.Add(p.Amount)))
	},
	Rows: rows,
}

// V1 was wrong: it looked at what had been spent before the payment alone.
var V1 = worker.Fold[Day, Payment, Spending]{
	Step: func(c *worker.Context, d *Day, p *Payment) error {
		return d.take(c, p, !d.Spent.Less(most))
	},
	Rows: rows,
}

// take counts a payment, or declines it and tells the owner of the wallet.
func (d *Day) take(c *worker.Context, p *Payment, decline bool) error {
	if p.Amount.Sign() <= 0 {
		return errors.New("a payment of nothing")
	}
	d.Last = p.At
	if !decline {
		d.Payments++
		d.Spent = d.Spent.Add(p.Amount)
		return nil
	}
	d.Declined++
	c.Effect("mail", p.ID, map[string]any{"declined": p.Amount, "left": most.Sub(d.Spent), "shop": p.Shop.Or("online")})
	return nil
}

func rows(c *worker.Context, d *Day, emit func(Spending)) {
	emit(Spending{Day: c.Bucket(), Spent: d.Spent, Payments: d.Payments, Declined: d.Declined})
}
