// Package postgres is the source whose events are the changes of tables in
// PostgreSQL 15 or newer, or the rows of an outbox table, read by logical
// replication from a slot of the plugin pgoutput. It reads what has committed, in
// the order of the commits, and writes nothing to the database; at most, and only
// where it is asked to, it makes its slot at the first run.
//
// The database is the one partition, called by its name. A position has 30 digits:
// 20 of the place in the server's log where the transaction's commit begins, then 10
// that count the changes inside of the transaction. So positions grow with the order
// of commits, and are the same however often they are read. They have holes.
//
// The slot keeps the log until the archive has it: it is advanced by Committed
// alone. A slot that was made anew, or advanced by somebody else, tells by its own
// place what is lost. Another cluster of servers, or a history that was given up at a
// failover, is another partition: shop@2.
//
// Transactions of our own corrections begin with a logical message of the prefix
// "recount": they are no new events, and are told as a gap (GapReplay).
package postgres

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/payload"
	"recount/source/record"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Source, "postgres",
		"Reads the changes of tables in PostgreSQL, or an outbox table, by logical replication.", Open))
}

// Config is the block `postgres` of a source.
type Config struct {
	DSN         recount.Secret `json:"dsn" doc:"The database's address, as env:NAME or file:PATH: postgres://user:password@host:5432/database; the user has the attribute REPLICATION." secret:"true"`
	Slot        string         `json:"slot" doc:"The logical replication slot, of the plugin pgoutput and for this source alone."`
	Publication string         `json:"publication" doc:"The publication that says whose changes are sent."`
	Create      bool           `json:"create" doc:"Make the slot at the first run, where it is not there; what happened before is not in it." default:"false"`
	Tables      []string       `json:"tables" doc:"Tables, as schema.table, that the publication must have; changes of others are then no events."`
	Messages    string         `json:"messages" doc:"Logical messages with this prefix (pg_logical_emit_message) are events too."`
	Outbox      Outbox         `json:"outbox" doc:"Events are the rows inserted into one table: {table, payload, id, type, key, time}, and format, envelope and registry of what payload holds. Other columns are headers."`
}

// Outbox names the columns of an outbox table.
type Outbox struct {
	Table   string `json:"table" doc:"The table, as schema.table."`
	Payload string `json:"payload" doc:"The column that holds the event."`
	ID      string `json:"id" doc:"The column of the event's id."`
	Type    string `json:"type" doc:"The column of its type."`
	Key     string `json:"key" doc:"The column of its key."`
	Time    string `json:"time" doc:"The column of its time; else the commit's."`

	record.Values
}

// values says how the source's values become fields.
func (c *Config) values() record.Values {
	if c.Outbox.Table != "" {
		return c.Outbox.Values
	}
	return record.Values{Envelope: "debezium"}
}

// Completes says that the mapping may leave the time out: a commit has one.
func (c *Config) Completes() bool { return true }

// Complete names in the mapping what every change has, or what columns the outbox
// names.
func (c *Config) Complete(m *recount.Mapping) {
	given := []struct {
		into *string
		path string
	}{{&m.ID, "envelope:id"}}
	if o := c.Outbox; o.Table != "" {
		given = given[:0]
		for _, part := range []struct {
			into   *string
			column string
		}{{&m.ID, o.ID}, {&m.Type, o.Type}, {&m.Key, o.Key}, {&m.Time, o.Time}} {
			if part.column != "" {
				given = append(given, struct {
					into *string
					path string
				}{part.into, "header:" + part.column})
			}
		}
	}
	for _, g := range given {
		if *g.into == "" {
			*g.into = g.path
		}
	}
	c.values().Complete(m)
	if m.Time == "" {
		m.Time = "record:timestamp"
	}
}

// Source reads one slot. The connections stay open between two reads, so that the
// server need not decode its log anew.
type Source struct {
	env     adapter.Env
	config  Config
	conn    *pgx.ConnConfig
	decoder *record.Decoder
	columns columns
	tries   int // to start a stream of a slot that is in use

	control *pgx.Conn // for questions
	live    *stream   // nil: none is open

	mu       sync.Mutex
	archived mark // that Committed told last
}

// Open checks the block; it connects at first use.
func Open(_ context.Context, env adapter.Env, config Config) (source.Source, error) {
	const tries = 30
	s := &Source{env: env, config: config, tries: tries}
	if err := s.check(); err != nil {
		return nil, err
	}
	conn, err := pgx.ParseConfig(config.DSN.Reveal())
	if err != nil {
		// The parser's own words repeat the address.
		return nil, s.misconfigured("dsn: is no address of PostgreSQL", "it cannot be read", "write it as postgres://user:password@host:5432/database")
	}
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "recount"
	}
	s.conn = conn
	config.Complete(&s.env.Mapping)
	if _, err := payload.Own(s.env.Mapping.Payload); err != nil {
		return nil, recount.Located(err, s.where())
	}
	if s.decoder, err = record.New(record.Options{Mapping: s.env.Mapping, Values: config.values(), Where: s.where()}); err != nil {
		return nil, err
	}
	if s.columns, err = columnsOf(s.env.Mapping); err != nil {
		return nil, recount.Located(err, s.where())
	}
	return s, nil
}

func (s *Source) check() error {
	c := &s.config
	for i, t := range c.Tables {
		c.Tables[i] = full(t)
	}
	o := &c.Outbox
	if o.Table != "" {
		o.Table = full(o.Table)
	}
	named := o.Payload + o.ID + o.Type + o.Key + o.Time
	switch {
	case c.DSN == "":
		return s.misconfigured("no database is named", "dsn: is empty", `write dsn: "env:NAME" with an address such as postgres://user:password@host:5432/database`)
	case c.Publication == "":
		return s.misconfigured("no publication is named", "publication: is empty", "name the publication that holds the tables")
	case c.Slot == "" || len(c.Slot) > 63 || strings.Trim(c.Slot, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
		return s.misconfigured(fmt.Sprintf("slot %q cannot be", c.Slot), "a slot's name has 1 to 63 small letters, digits and underscores", "correct slot:")
	case c.Messages == ours:
		return s.misconfigured(fmt.Sprintf("messages: cannot be %q", ours), "that prefix marks Recount's own corrections, which are no events", "choose another prefix")
	case o.Table == "" && named != "":
		return s.misconfigured("outbox: has no table", "its columns are named, and not whose they are", "write outbox: {table: public.outbox, …}")
	case o.Table != "" && o.Payload == "":
		return s.misconfigured("outbox: has no payload", "it is not said which column holds the event", "write outbox: {table: …, payload: COLUMN}")
	case o.Table != "" && len(c.Tables) > 0:
		return s.misconfigured("tables: and outbox: are both given", "with an outbox its table alone is read", "leave tables: out")
	}
	return nil
}

// full spells a table with its schema.
func full(table string) string {
	if strings.Contains(table, ".") {
		return table
	}
	return "public." + table
}

func (s *Source) where() string { return fmt.Sprintf("source %q, postgres", s.env.Stream) }

// place is the database as a person knows it.
func (s *Source) place() string {
	if strings.HasPrefix(s.conn.Host, "/") {
		return s.conn.Host + "/" + s.conn.Database
	}
	return net.JoinHostPort(s.conn.Host, strconv.Itoa(int(s.conn.Port))) + "/" + s.conn.Database
}

// scrub takes the password out of a text that a driver or server wrote.
func (s *Source) scrub(text string) string {
	secret := s.conn.Password
	if secret == "" {
		return text
	}
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
		text = strings.ReplaceAll(text, form, "***")
	}
	return text
}

// Info says what the stream is like.
func (s *Source) Info() source.Info {
	own, _ := payload.Own(s.env.Mapping.Payload) // Open has read the path
	return source.Info{HasID: s.decoder.HasID(), Own: own, Place: "postgres " + s.place() + ", slot " + s.config.Slot}
}

// Decoder reads archived changes again.
func (s *Source) Decoder(format, header string) (source.Decoder, error) {
	inner, err := s.decoder.Again(format, header)
	if err != nil {
		return nil, err
	}
	return again{inner: inner, columns: s.columns}, nil
}

type again struct {
	inner   source.Decoder
	columns columns
}

func (a again) Decode(archived recount.Event) recount.Event {
	e := a.inner.Decode(archived)
	a.columns.blame(&e)
	return e
}

// Close ends the connections.
func (s *Source) Close() error {
	s.drop()
	s.hangUp(context.Background())
	return nil
}

// Committed says that all up to cursor is archived, and so need not be kept.
func (s *Source) Committed(_ context.Context, cursor source.Cursor) error {
	newest, _, err := newest(cursor)
	if err != nil {
		return recount.Located(err, s.where())
	}
	s.mu.Lock()
	s.archived = newest
	s.mu.Unlock()
	if s.live != nil && s.live.status(false) != nil {
		s.drop() // the next stream tells it
	}
	return nil
}

// selected says whether a table's changes are events.
func (s *Source) selected(schema, table string) bool {
	name := schema + "." + table
	switch {
	case s.config.Outbox.Table != "":
		return name == s.config.Outbox.Table
	case len(s.config.Tables) > 0:
		return slices.Contains(s.config.Tables, name)
	}
	// A publication of all tables holds the ledger of our corrections too.
	return schema != "recount"
}

var (
	_ source.Acknowledger = (*Source)(nil)
	_ source.Waiter       = (*Source)(nil)
	_ source.Resumer      = (*Source)(nil)
)
