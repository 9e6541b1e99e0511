package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/archive/cover"
	"recount/internal/config"
	"recount/source"
)

// doctor gathers checks; each is timed and never stops the others.
type doctor struct {
	app    *App
	checks []Check
}

// Doctor checks everything that the next command will need, for the named
// calculations or all. It writes nothing.
func (a *App) Doctor(ctx context.Context, calculations []string) (Diagnosis, error) {
	d := &doctor{app: a}
	if len(calculations) == 0 {
		calculations = sortedNames(a.Project.Calculations)
	}
	d.check("configuration", func() (string, error) {
		return counted(len(a.Project.Sources), "source") + ", " + counted(len(a.Project.Calculations), "calculation"), nil
	})
	d.check("scratch folder", func() (string, error) {
		_, err := a.folder("doctor")
		return os.TempDir(), err
	})
	d.check("archive", func() (string, error) {
		if _, err := a.openArchive(ctx); err != nil {
			return "", err
		}
		return a.store.Place(), nil
	})
	d.isolation(ctx, calculations)
	for _, name := range sortedNames(a.Project.Sources) {
		d.source(ctx, a.Project.Sources[name])
	}
	for _, name := range calculations {
		calc, err := a.Project.Calculation(name)
		if err != nil {
			return Diagnosis{}, err
		}
		d.calculation(ctx, calc)
	}
	return Diagnosis{Checks: d.checks}, ctx.Err()
}

// check runs one check; an error fails it, with the error's own next step.
func (d *doctor) check(name string, run func() (string, error)) {
	began := d.app.now()
	detail, err := run()
	c := Check{Name: name, Status: CheckOK, Detail: detail, TookMS: d.app.now().Sub(began).Milliseconds()}
	var warning warn
	switch {
	case errors.As(err, &warning):
		c.Status, c.Detail, c.Fix = CheckWarn, warning.detail, warning.fix
	case err != nil:
		e := recount.AsError(err)
		why, _, _ := strings.Cut(e.Why, "\n") // an excerpt of a file has no room in a line
		c.Status, c.Detail, c.Fix = CheckFail, strings.TrimSpace(e.What+": "+why), e.Next
	}
	d.checks = append(d.checks, c)
}

// warn is a finding that stops nothing.
type warn struct{ detail, fix string }

func (w warn) Error() string { return w.detail }

func (d *doctor) source(ctx context.Context, src config.Source) {
	d.check("source "+src.Name, func() (place string, err error) {
		s, err := d.app.openSource(ctx, src)
		if err != nil {
			return "", err
		}
		defer joined(&err, s.Close)
		if err := s.Check(ctx); err != nil {
			return "", err
		}
		return s.Info().Place, d.overtaken(ctx, s, src.Name)
	})
	d.check("archive of "+src.Name, func() (string, error) { return d.archived(ctx, src) })
	d.check("repeats of "+src.Name, func() (string, error) {
		if src.Mapping.ID == "" {
			return "", warn{"events have no id, so an event that came twice counts twice", "name event: {id: …} if the payload has one"}
		}
		return "seen by " + src.Mapping.ID, nil
	})
}

// overtaken warns of events that the source deleted before they were archived,
// where it can say so.
func (d *doctor) overtaken(ctx context.Context, s source.Source, name string) error {
	resumer, ok := s.(source.Resumer)
	if !ok {
		return nil
	}
	arch, err := d.app.openArchive(ctx)
	if err != nil {
		return nil //nolint:nilerr // the check of the archive says it
	}
	snapshot, err := arch.Snapshot(ctx, name)
	if err != nil {
		return nil //nolint:nilerr // the check of the source's archive says it
	}
	lost, err := resumer.Overtaken(ctx, snapshot.Cursor)
	if err != nil || len(lost) == 0 {
		return err
	}
	const most = 4
	parts := make([]string, 0, most+1)
	for i, g := range lost {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(lost)-most))
			break
		}
		parts = append(parts, g.String())
	}
	return warn{
		"it deleted events before they were archived: " + strings.Join(parts, ", "),
		"recount archive run " + name + " --once takes in what is left; run the archiver more often, or raise the source's retention",
	}
}

func (d *doctor) archived(ctx context.Context, src config.Source) (string, error) {
	arch, err := d.app.openArchive(ctx)
	if err != nil {
		return "", err
	}
	snapshot, err := arch.Snapshot(ctx, src.Name)
	var e *recount.Error
	if errors.As(err, &e) && e.Code == recount.CodeNoArchive {
		return "", warn{"nothing is archived yet", "recount archive run " + src.Name + " --once"}
	}
	if err != nil {
		return "", err
	}
	digest, err := src.MappingDigest()
	if err != nil {
		return "", err
	}
	if err := cover.SameMapping(snapshot, digest); err != nil {
		return "", err
	}
	var rows int64
	for _, f := range snapshot.Files {
		rows += f.Rows
	}
	return fmt.Sprintf("%s in %s, complete up to %s", counted(int(rows), "event"), counted(len(snapshot.Files), "file"), recount.FormatTimestamp(snapshot.Watermark)), nil
}

// counted is n with its noun: "1 file", "2 files".
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func (d *doctor) calculation(ctx context.Context, calc config.Calculation) {
	var r *incident.Incident
	d.check("logic of "+calc.Name, func() (string, error) {
		src, err := d.app.Project.Source(calc.Source)
		if err != nil {
			return "", err
		}
		r, err = incident.Check(ctx, host{d.app}, calc, src)
		return calc.Logic.Path, err
	})
	d.check("target of "+calc.Name, func() (string, error) { return d.target(ctx, r) })
	there := d.checks[len(d.checks)-1].Status != CheckFail
	d.check("reading role of "+calc.Name, func() (string, error) {
		if !there {
			return "", warn{"not looked at, since the target cannot be read", "mend the target first"}
		}
		return d.role(ctx, calc)
	})
}

// target looks at the live table: columns, key, and what a write sets off.
func (d *doctor) target(ctx context.Context, r *incident.Incident) (detail string, err error) {
	if !r.Shaped() {
		return "", warn{"not looked at, since the logic has a mistake", "mend the logic first"}
	}
	info, err := r.LiveTable(ctx)
	if err != nil {
		return "", err
	}
	if len(info.Hazards) > 0 {
		return "", warn{strings.Join(info.Hazards, "; "), "make sure that a correction may set this off; the plan names it too"}
	}
	return info.Identity.Place + " " + info.Identity.Table, nil
}

func (d *doctor) role(ctx context.Context, calc config.Calculation) (detail string, err error) {
	t, err := d.app.openTarget(ctx, calc, false)
	if err != nil {
		return "", err
	}
	defer joined(&err, t.Close)
	can, err := t.CanWrite(ctx)
	if err != nil {
		return "", err
	}
	if !can && calc.Target.Apply == nil {
		return "", warn{"it may only read, so an apply will be refused", "give a role that may write under target: apply:, or let this one write"}
	}
	if can && calc.Target.Adapter != "files" && calc.Target.Adapter != "sqlite" {
		return "", warn{"the role that reads can also write", "give target: a role that only reads, and apply: {dsn: …} one that may write"}
	}
	return "as it should be", nil
}
